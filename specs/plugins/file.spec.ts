import { execFileSync } from "node:child_process"
import * as fs from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { sampleBytes, storagePluginSuite } from "imagelink/conformance/storage-plugin"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import type { Host } from "../../core/host.ts"
import file from "../../plugins/file/index.ts"

const signal = new AbortController().signal
const host: Host = { userName: () => "imagelink" }
let temporary: string
let made = 0

beforeAll(async () => {
  temporary = await fs.mkdtemp(join(tmpdir(), "imagelink-file-"))
})
afterAll(() => fs.rm(temporary, { recursive: true, force: true }))

const fresh = () => join(temporary, `entry-${made++}`)
const write = async (bytes: Uint8Array) => {
  const path = fresh()
  await fs.writeFile(path, bytes)
  return path
}

storagePluginSuite(
  { describe, it },
  {
    plugin: file,
    async sample() {
      const bytes = sampleBytes(200_001)
      const path = await write(bytes)
      return { config: { path }, bytes, file: path }
    },
    module: join(import.meta.dirname, "../../plugins/file/index.ts"),
    folder: async () => ({ config: { path: join(fresh(), "client", "generation") } }),
    refused: [{}, { path: "" }, { path: 7 }, { path: "relative.raw" }, { path: "/a\0b" }, { path: "/a", mode: "rw" }],
    missing: { config: { path: "/nowhere/at/all.raw" }, code: "IMAGE_FILE_NOT_FOUND" },
  },
)

/** A host that knows holes: data in [0, 4096) and [65536, 69632), as lseek(2) with SEEK_DATA would tell. */
const runs = [
  { offset: 0, end: 4096 },
  { offset: 65_536, end: 69_632 },
]
const seeing: Host = {
  ...host,
  nextData: (_, offset) =>
    runs.map((run) => ({ ...run, offset: Math.max(run.offset, offset) })).find((run) => run.offset < run.end),
}
storagePluginSuite(
  { describe, it },
  {
    plugin: { ...file, manifest: { ...file.manifest, sparse: true } },
    host: seeing,
    async sample() {
      const bytes = sampleBytes(262_144, {
        holes: [
          [4096, 61_440],
          [69_632, 192_512],
        ],
      })
      return { config: { path: await write(bytes) }, bytes }
    },
    folder: async () => ({ config: { path: fresh() } }),
  },
)

describe("an image file", () => {
  it("tells its holes where the host can find them, cut at the range asked for", async () => {
    const volume = await file.open({ path: await write(new Uint8Array(262_144)) }, { signal, host: seeing })
    expect(await volume.extents?.(4000, 70_000, 10)).toEqual([
      { offset: 4000, length: 96, kind: "data" },
      { offset: 4096, length: 61_440, kind: "zero" },
      { offset: 65_536, length: 4096, kind: "data" },
      { offset: 69_632, length: 4368, kind: "zero" },
    ])
    expect(await volume.extents?.(0, 262_144, 1)).toEqual([{ offset: 0, length: 4096, kind: "data" }])
    expect(await volume.extents?.(262_143, 1, 9)).toEqual([{ offset: 262_143, length: 1, kind: "zero" }])
    await volume.close()
  })

  it("offers no readSync, so that a cold page never stops the server", async () => {
    const volume = await file.open({ path: await write(new Uint8Array(512)) }, { signal, host })
    expect(volume.readSync).toBeUndefined()
    expect(volume.write).toBeUndefined()
    await volume.close()
  })

  it("is the same to the nanosecond after it was opened, read and closed", async () => {
    const path = await write(sampleBytes(8192))
    await fs.utimes(path, 1000, 1000)
    const before = await fs.stat(path, { bigint: true })
    const volume = await file.open({ path }, { signal, host })
    await volume.read(new Uint8Array(8192), 0, 0, 8192)
    await volume.close()
    const after = await fs.stat(path, { bigint: true })
    expect([after.atimeNs, after.mtimeNs, after.ctimeNs]).toEqual([before.atimeNs, before.mtimeNs, before.ctimeNs])
  })

  it("has another identity once it was written to, or replaced", async () => {
    const path = await write(sampleBytes(8192))
    const volume = await file.open({ path }, { signal, host })
    const first = await volume.identity?.()
    expect(Object.keys(first!)).toEqual(["device", "inode", "sizeBytes", "mtimeNs", "ctimeNs"])
    await fs.utimes(path, 2000, 2000)
    const written = await volume.identity?.()
    expect(written).not.toEqual(first)
    await fs.rename(await write(sampleBytes(8192)), path)
    expect(await volume.identity?.()).not.toEqual(written)
    await volume.close()
  })

  it("answers IO_ERROR with the first missing byte when the file was cut short under it", async () => {
    const path = await write(sampleBytes(8192))
    const volume = await file.open({ path }, { signal, host })
    await fs.truncate(path, 5000)
    await expect(volume.read(new Uint8Array(8192), 0, 0, 8192)).rejects.toMatchObject({
      code: "IO_ERROR",
      offset: 5000,
    })
    await volume.read(new Uint8Array(1), 0, 4999, 1)
    await volume.close()
  })

  it("is found beside another by a relative name", () => {
    expect(file.sibling?.({ path: "/srv/images/win11.qcow2" }, "parents/a/base.raw")).toEqual({
      path: "/srv/images/parents/a/base.raw",
    })
  })

  it("is followed through a symlink, and missing when the link leads nowhere", async () => {
    const link = fresh()
    const target = fresh()
    await fs.symlink(target, link)
    await expect(file.open({ path: link }, { signal, host })).rejects.toMatchObject({ code: "IMAGE_FILE_NOT_FOUND" })
    await fs.writeFile(target, new Uint8Array(512))
    const volume = await file.open({ path: link }, { signal, host })
    expect(volume.sizeBytes).toBe(512)
    await volume.close()
  })
})

describe("what is no regular file", () => {
  const refusal = (path: string) =>
    file.open({ path }, { signal, host }).then(
      () => "opened",
      (error: { code: string; reason: string }) => `${error.code}: ${error.reason}`,
    )

  it("is refused by what it is: a folder, a device", async () => {
    expect(await refusal(temporary)).toBe("IMAGE_NOT_A_DISK: it is a folder")
    expect(await refusal("/dev/zero")).toBe(
      "IMAGE_NOT_A_DISK: it is a character device, and only regular files are served",
    )
  })

  it("is refused at once when it is a named pipe that nobody writes to", async () => {
    const path = fresh()
    execFileSync("mkfifo", [path])
    expect(await refusal(path)).toBe("IMAGE_NOT_A_DISK: it is a named pipe")
  })

  it("is missing when a file stands where a folder should be", async () => {
    const path = await write(new Uint8Array(1))
    expect(await refusal(join(path, "x.raw"))).toBe(
      "IMAGE_FILE_NOT_FOUND: it was moved, renamed or deleted, or its disk is not mounted",
    )
  })
})

describe("an absolute name beside an image", () => {
  it("is told relative to the image's folder, symlinks resolved, and only when it is in there", async () => {
    const [folder, other] = [fresh(), fresh()]
    for (const made of [join(folder, "deep"), join(other, "deep")]) await fs.mkdir(made, { recursive: true })
    for (const at of [join(folder, "deep", "base.raw"), join(other, "base.raw")]) await fs.writeFile(at, "x")
    await fs.symlink(join(other, "base.raw"), join(folder, "out.raw"))
    await fs.symlink("deep/base.raw", join(folder, "in.raw"))
    await fs.symlink(folder, `${folder}-link`)
    const tell = (absolute: string, image = join(folder, "top.qcow2")) => file.relative!({ path: image }, absolute)
    expect(await tell(join(folder, "deep/base.raw"))).toBe("deep/base.raw")
    expect(await tell(`${folder}//deep/../in.raw`)).toBe("deep/base.raw")
    expect(await tell(`${folder}-link/deep/base.raw`)).toBe("deep/base.raw")
    expect(await tell(join(folder, "deep/base.raw"), `${folder}-link/top.qcow2`)).toBe("deep/base.raw")
    expect(await tell(join(folder, "gone/one.raw"))).toBe("gone/one.raw")
    expect(await tell(join(folder, "..one.raw"))).toBe("..one.raw")
    for (const elsewhere of [
      "/etc/passwd",
      "/",
      folder,
      `${folder}/..`,
      join(other, "base.raw"),
      join(folder, "out.raw"),
    ])
      expect([elsewhere, await tell(elsewhere)]).toEqual([elsewhere, undefined])
    expect(await tell(`${folder}/deep/../../${"entry-none"}`)).toBeUndefined()
    expect(await tell(`${folder}x/base.raw`)).toBeUndefined()
  })
})
