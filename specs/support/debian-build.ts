/**
 * Makes a disk with a Debian on it that PCs with BIOS boot from iSCSI: `node specs/support/debian-build.ts FILE`, as root.
 *
 *     sector 0      GRUB's boot.img, and the table of partitions
 *     sector 1      GRUB's core.img, which knows ext4
 *     1 MiB         ext4, the root
 *
 * **Details** Packages come from where apt gets its own, through mmdebstrap. The file system is made from a folder and the loader is written to its sectors,
 * so nothing is mounted and no loop device is needed. FILE appears whole or not at all.
 */
import { execFileSync } from "node:child_process"
import {
  chmodSync,
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { EXCLUDED, FILES, GRUB_CONFIG, PACKAGES, REPLACEMENT_SECONDS, ROOT_UUID } from "./debian-files.ts"

const SECTOR = 512
const MiB = 2 ** 20
const ROOT_START = MiB
const DISK = 512 * MiB
const GRUB = "/usr/lib/grub/i386-pc"
export const GRUB_BOOT_SECTOR = join(GRUB, "boot.img")

const run = (file: string, args: ReadonlyArray<string>, input?: string): string =>
  execFileSync(file, args, {
    encoding: "utf8",
    maxBuffer: 64 * MiB,
    stdio: [input === undefined ? "ignore" : "pipe", "pipe", "inherit"],
    ...(input === undefined ? {} : { input }),
  })

/** Debian's own among apt's sources, as lines of a sources.list. */
export const debianSources = (): ReadonlyArray<string> => {
  const format = "$(ORIGIN) deb $(REPO_URI) $(RELEASE) $(COMPONENT)"
  const lines = run("apt-get", ["indextargets", "--format", format, "Created-By: Packages"]).split("\n")
  return [...new Set(lines)].flatMap((line) => (line.startsWith("Debian deb ") ? [line.slice("Debian ".length)] : []))
}

/** How apt reaches its mirrors here. */
const proxies = (): ReadonlyArray<string> =>
  run("apt-config", ["dump"])
    .split("\n")
    .filter((line) => /^Acquire::https?::.*proxy/i.test(line))

const placeFiles = (folder: string): void => {
  for (const { path, text, executable } of FILES) {
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    writeFileSync(join(folder, path), text)
    if (executable) chmodSync(join(folder, path), 0o755)
  }
}

const bootstrap = (scratch: string): string => {
  const sources = debianSources()
  const codename = sources[0]?.split(" ")[2]
  if (codename === undefined) throw new Error("apt's sources name no Debian mirror")
  const root = join(scratch, "root")
  const placed = join(scratch, "placed")
  placeFiles(placed)
  const quietly = ['APT::Install-Recommends "false"', ...proxies()].flatMap((o) => ["--aptopt", o])
  const excluded = EXCLUDED.flatMap((path) => ["--dpkgopt", `path-exclude=${path}`])
  run(
    "mmdebstrap",
    [
      ...["--quiet", "--mode=root", "--variant=minbase", `--include=${PACKAGES.join(",")}`, ...quietly, ...excluded],
      // "force-confold": what was placed is kept where a package brings a file of that name.
      ...["--dpkgopt", "force-confold", "--dpkgopt", "force-unsafe-io"],
      ...["--essential-hook", `cp -a "${placed}/." "$1/"`],
      ...[
        "--customize-hook",
        `sed -i 's/^\\(.*replacement_timeout =\\).*/\\1 ${REPLACEMENT_SECONDS}/' "$1/etc/iscsi/iscsid.conf"`,
      ],
      ...[codename, root, "-"],
    ],
    `${sources.join("\n")}\n`,
  )
  return root
}

/** One partition of type Linux; the fields of CHS are left, for nobody reads them any more. */
const partitionTable = (): Buffer => {
  const table = Buffer.alloc(66)
  table.writeUInt8(0x80, 0)
  table.writeUInt8(0x83, 4)
  table.writeUInt32LE(ROOT_START / SECTOR, 8)
  table.writeUInt32LE((DISK - ROOT_START) / SECTOR, 12)
  table.writeUInt16LE(0xaa55, 64)
  return table
}

/** Both parts of GRUB find each other by their defaults: core.img follows the first sector. */
const writeLoader = (disk: string, scratch: string): void => {
  const config = join(scratch, "grub.cfg")
  const core = join(scratch, "core.img")
  writeFileSync(config, GRUB_CONFIG)
  const modules = ["biosdisk", "part_msdos", "ext2", "linux", "serial", "terminal", "search", "search_fs_uuid", "echo"]
  run("grub-mkimage", ["-O", "i386-pc", "-d", GRUB, "-p", "/boot/grub", "-c", config, "-o", core, ...modules, "boot"])
  const image = readFileSync(core)
  if (SECTOR + image.length > ROOT_START) throw new Error(`GRUB's core is too large: ${image.length} bytes`)
  const fd = openSync(disk, "r+")
  writeSync(fd, readFileSync(GRUB_BOOT_SECTOR).subarray(0, 440), 0, 440, 0)
  writeSync(fd, partitionTable(), 0, 66, 446)
  writeSync(fd, image, 0, image.length, SECTOR)
  closeSync(fd)
}

export const buildDebian = (file: string): void => {
  mkdirSync(dirname(file), { recursive: true })
  const scratch = mkdtempSync(join(tmpdir(), "imagelink-debian-"))
  try {
    const root = bootstrap(scratch)
    const disk = join(dirname(file), `.${process.pid}.raw`)
    writeFileSync(disk, "")
    truncateSync(disk, DISK)
    const options = ["-q", "-F", "-t", "ext4", "-U", ROOT_UUID, "-m", "0", "-E", `offset=${ROOT_START},nodiscard`]
    run("mke2fs", [...options, "-d", root, disk, `${(DISK - ROOT_START) / 1024}k`])
    writeLoader(disk, scratch)
    renameSync(disk, file)
  } finally {
    rmSync(scratch, { recursive: true, force: true })
  }
}

if (process.argv[1] === import.meta.filename) buildDebian(process.argv[2]!)
