/** The scratch file that Sleuth Kit reads, and what is said where it cannot. */
import { execFileSync } from "node:child_process"
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "vitest"
import { sleuthkit } from "../../../adapters/host/sleuthkit.ts"
import type { ListedFile } from "../../../core/runtime/file-lister.ts"
import { scratch } from "../../support/cli.ts"
import { requires } from "../../support/requires.ts"

const folder = scratch("sleuthkit")
const fls = requires("fls", "sleuthkit")
const mke2fs = requires("mke2fs", "e2fsprogs")
const mkntfs = requires("mkntfs", "ntfs-3g")
const MiB = 2 ** 20
const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` }
const { signal } = new AbortController()
let ids = 0
const lister = (more: { readonly find?: () => string | undefined } = {}) =>
  sleuthkit({ folder: join(folder, "cache"), host: {}, newId: () => `id-${ids++}`, ...more })
/** The listing of a disk that has these bytes at `offset`. */
const list = async (bytes: Buffer, offset = 0): Promise<ReadonlyArray<ListedFile>> => {
  const disk = await lister().scratch(offset + bytes.length)
  const files: Array<ListedFile> = []
  try {
    await disk.write(bytes, 0, offset, bytes.length)
    await disk.list(offset, (file) => files.push(file), signal)
    return files
  } finally {
    await disk.close()
  }
}

describe.skipIf(fls.skip)("the files", () => {
  it.skipIf(mke2fs.skip)(
    "of ext4 are listed from where it begins, folders and links with them, until a range is zeroed",
    async () => {
      mkdirSync(join(folder, "root/sub"), { recursive: true })
      writeFileSync(join(folder, "root/sub/a"), "12345")
      execFileSync("mke2fs", ["-q", "-t", "ext4", "-d", join(folder, "root"), join(folder, "e.img"), "2M"], { env })
      const bytes = readFileSync(join(folder, "e.img"))
      const told = (await list(bytes, 3 * MiB)).map((f) => [f.path, f.directory, f.directory ? 0 : f.sizeBytes])
      expect(told.sort()).toEqual([
        ["/lost+found", true, 0],
        ["/sub", true, 0],
        ["/sub/a", false, 5],
      ])
      const disk = await lister().scratch(bytes.length)
      await disk.write(bytes, 0, 0, bytes.length)
      await disk.zero(1, bytes.length - 1)
      await expect(disk.list(0, () => {}, signal)).rejects.toMatchObject({
        ...{ code: "FILE_LISTING_FAILED", reason: "fls says: Cannot determine file system type" },
      })
      await disk.close()
    },
  )

  it.skipIf(mkntfs.skip)("of NTFS are listed once each, with its own", async () => {
    const image = join(folder, "n.img")
    writeFileSync(image, Buffer.alloc(4 * MiB))
    writeFileSync(join(folder, "hello"), "hello")
    execFileSync("mkntfs", ["-q", "-F", "-s", "512", "-p", "0", "-H", "255", "-S", "63", image], {
      env,
      stdio: "ignore",
    })
    execFileSync("ntfscp", [image, join(folder, "hello"), "/wörk.txt"], { env, stdio: "ignore" })
    const files = await list(readFileSync(image))
    expect(files.filter(({ path }) => path.startsWith("/w")).map((f) => [f.path, f.sizeBytes])).toEqual([
      ["/wörk.txt", 5],
    ])
    expect(files.filter(({ path }) => path === "/$MFT")).toHaveLength(1)
  })
})

describe("the scratch file", () => {
  it("has no name while it is open, and a size", async () => {
    const disk = await lister({ find: () => "/bin/false" }).scratch(5 * MiB)
    expect(readdirSync(join(folder, "cache"))).toEqual([])
    await disk.close()
  })

  it("is not made where the tool is missing", async () => {
    await expect(lister({ find: () => undefined }).scratch(512)).rejects.toMatchObject({ code: "FILE_TOOL_MISSING" })
  })

  it("is told of a tool that fails without a word, or is not there any more", async () => {
    for (const [tool, why] of [
      ["/bin/false", "fls says: exit status 1"],
      ["/nowhere/fls", "fls could not be run: spawn /nowhere/fls ENOENT"],
    ] as const) {
      const disk = await lister({ find: () => tool }).scratch(512)
      await expect(disk.list(0, () => {}, signal)).rejects.toMatchObject({ code: "FILE_LISTING_FAILED", reason: why })
      await disk.close()
    }
  })
})
