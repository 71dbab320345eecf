/** The whole test of the plugin: the published conformance suite, and what only this plugin can get wrong. */
import assert from "node:assert/strict"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { after, before, describe, it } from "node:test"
import { sampleBytes, storagePluginSuite } from "imagelink/conformance/storage-plugin"
import tar from "./tar.ts"

let folder: string
let archives = 0
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "imagelink-tar-"))
})
after(() => rm(folder, { recursive: true, force: true }))

/** One member: a header with what a reader looks at, its bytes, and padding. */
const member = (
  name: string,
  bytes: Uint8Array,
  { type = "0", size = bytes.length.toString(8).padStart(11, "0") } = {},
) => {
  const header = Buffer.alloc(512)
  header.write(name, 0)
  header.write(size, 124, "latin1")
  header.write(type, 156)
  header.write("ustar\x0000", 257)
  return Buffer.concat([header, bytes, Buffer.alloc(-bytes.length & 511)])
}
const archive = async (...members: ReadonlyArray<Buffer>) => {
  const path = join(folder, `${archives++}.tar`)
  await writeFile(path, Buffer.concat([...members, Buffer.alloc(1024)]))
  return path
}
const open = (path: string, name: string) =>
  tar.open({ path, member: name }, { signal: new AbortController().signal, host: {} })

storagePluginSuite(
  { describe, it },
  {
    plugin: tar,
    async sample() {
      const bytes = sampleBytes(200_001)
      const path = await archive(
        member("images/", new Uint8Array(0), { type: "5" }),
        member("readme.txt", Buffer.from("hello")),
        member("images/win11.raw", bytes),
        member("images/later.raw", sampleBytes(1000, { seed: 2 })),
      )
      return { config: { path, member: "images/win11.raw" }, bytes, file: path }
    },
    module: new URL("tar.ts", import.meta.url).href,
    refused: [
      {},
      { path: "lab.tar", member: "a" },
      { path: "/lab.tar", member: "" },
      { path: "/a", member: "a", x: 1 },
    ],
    missing: { config: { path: "/nowhere/lab.tar", member: "a" }, code: "IMAGE_FILE_NOT_FOUND" },
  },
)

describe("a tar archive", () => {
  it("that has no such member says so by its own name", async () => {
    const path = await archive(member("a", Buffer.from("x")))
    await assert.rejects(open(path, "b"), { code: "IMAGE_FILE_NOT_FOUND", message: `the file ${path}:b is not there` })
    await assert.rejects(open(await archive(), "b"), { code: "IMAGE_FILE_NOT_FOUND" })
  })

  it("gives long names and large sizes in extended headers, for the next member only", async () => {
    const pax = Buffer.from("19 path=deep/a.raw\n10 size=3\n")
    const path = await archive(
      member("pax", pax, { type: "x" }),
      member("short", Buffer.from("one"), { size: "00000000777" }),
      member("deep/b.raw", Buffer.from("four")),
    )
    for (const [name, size] of [
      ["deep/a.raw", 3],
      ["deep/b.raw", 4],
    ] as const) {
      const volume = await open(path, name)
      assert.equal(volume.sizeBytes, size)
      await volume.close()
    }
  })

  it("may hold a member over 8 GiB, with its size in GNU's binary form", async () => {
    const size = `\x80\0\0\0\0\0\0\x02\0\0\0\0`
    const volume = await open(await archive(member("big", new Uint8Array(0), { size })), "big")
    assert.equal(volume.sizeBytes, 2 ** 33)
    await volume.close()
  })

  it("that is cut short answers IO_ERROR at the first missing byte", async () => {
    const path = await archive(member("a", new Uint8Array(0), { size: "00000010000" }))
    const volume = await open(path, "a")
    await assert.rejects(volume.read(new Uint8Array(4096), 0, 0, 4096), { code: "IO_ERROR", offset: 1024 })
    await volume.close()
  })
})
