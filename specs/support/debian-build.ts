/**
 * Makes a disk with a Debian on it that PCs with BIOS and with UEFI boot from iSCSI: `node specs/support/debian-build.ts FILE`, as root.
 *
 *     sector 0      GRUB's boot.img, and the table of partitions
 *     sector 1      GRUB's core.img, which knows ext4
 *     1 MiB         ext4, the root
 *     at the end    FAT, the EFI system partition, with GRUB as one program
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
const DISK = 640 * MiB
const ESP_BYTES = 16 * MiB
const ESP_START = DISK - ESP_BYTES
const GRUB = "/usr/lib/grub/i386-pc"
const GRUB_EFI = "/usr/lib/grub/x86_64-efi"
/** What is there where GRUB is, for either firmware, with the package that brings it. */
export const LOADERS = [
  { file: join(GRUB, "boot.img"), package: "grub-pc-bin" },
  { file: join(GRUB_EFI, "linux.mod"), package: "grub-efi-amd64-bin" },
]

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
      ...["--customize-hook", 'chroot "$1" systemctl enable pc-shell.service'],
      ...[codename, root, "-"],
    ],
    `${sources.join("\n")}\n`,
  )
  return root
}

/** The table of a master boot record; the fields of CHS are left, for nobody reads them any more. */
const partitionTable = (): Buffer => {
  const table = Buffer.alloc(66)
  const partition = (at: number, type: number, start: number, end: number) => {
    table.writeUInt8(type, at + 4)
    table.writeUInt32LE(start / SECTOR, at + 8)
    table.writeUInt32LE((end - start) / SECTOR, at + 12)
  }
  table.writeUInt8(0x80, 0)
  partition(0, 0x83, ROOT_START, ESP_START) // Linux
  partition(16, 0xef, ESP_START, DISK) // EFI system partition (UEFI 2.10 §5.2.2)
  table.writeUInt16LE(0xaa55, 64)
  return table
}

const MODULES = ["part_msdos", "ext2", "linux", "serial", "terminal", "search", "search_fs_uuid", "echo", "boot"]

/** A GRUB of one file that begins with its configuration. */
const makeGrub = (scratch: string, format: string, folder: string, modules: ReadonlyArray<string>): string => {
  const config = join(scratch, "grub.cfg")
  const image = join(scratch, format)
  writeFileSync(config, GRUB_CONFIG)
  const names = ["-O", format, "-d", folder, "-p", "/boot/grub", "-c", config, "-o", image]
  run("grub-mkimage", [...names, ...modules])
  return image
}

/** Both parts of GRUB find each other by their defaults: core.img follows the first sector. */
const writeBiosLoader = (disk: string, scratch: string): void => {
  const image = readFileSync(makeGrub(scratch, "i386-pc", GRUB, ["biosdisk", ...MODULES]))
  if (SECTOR + image.length > ROOT_START) throw new Error(`GRUB's core is too large: ${image.length} bytes`)
  const fd = openSync(disk, "r+")
  writeSync(fd, readFileSync(join(GRUB, "boot.img")).subarray(0, 440), 0, 440, 0)
  writeSync(fd, partitionTable(), 0, 66, 446)
  writeSync(fd, image, 0, image.length, SECTOR)
  closeSync(fd)
}

const writeEfiLoader = (disk: string, scratch: string): void => {
  const program = makeGrub(scratch, "x86_64-efi", GRUB_EFI, MODULES)
  run("mkfs.vfat", ["-F", "16", "-n", "ESP", "--offset", `${ESP_START / SECTOR}`, disk, `${ESP_BYTES / 1024}`])
  const esp = ["-i", `${disk}@@${ESP_START}`]
  run("mmd", [...esp, "::/EFI", "::/EFI/BOOT"])
  run("mcopy", [...esp, program, "::/EFI/BOOT/BOOTX64.EFI"])
}

export const buildDebian = (file: string): void => {
  mkdirSync(dirname(file), { recursive: true })
  const scratch = mkdtempSync(join(tmpdir(), "imagelink-debian-"))
  const disk = join(dirname(file), `.${process.pid}.raw`)
  try {
    const root = bootstrap(scratch)
    writeFileSync(disk, "")
    truncateSync(disk, DISK)
    const options = ["-q", "-F", "-t", "ext4", "-U", ROOT_UUID, "-m", "0", "-E", `offset=${ROOT_START},nodiscard`]
    run("mke2fs", [...options, "-d", root, disk, `${(ESP_START - ROOT_START) / 1024}k`])
    writeEfiLoader(disk, scratch)
    writeBiosLoader(disk, scratch)
    renameSync(disk, file)
  } finally {
    for (const left of [disk, scratch]) rmSync(left, { recursive: true, force: true })
  }
}

if (process.argv[1] === import.meta.filename) buildDebian(process.argv[2]!)
