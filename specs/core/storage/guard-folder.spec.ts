import { AssertionError } from "node:assert"
import { expect, it } from "vitest"
import { guardFolder } from "../../../core/storage/guard-folder.ts"
import { openFolder } from "../../../core/storage/open-volume.ts"
import { PluginRegistry } from "../../../core/storage/registry.ts"
import type { VolumeFolder } from "../../../core/storage/volume.ts"
import example from "../../../plugins/example/index.ts"
import { memorySubject, memoryVolume } from "../../plugins/memory.ts"

const guarded = (parts: { [K in keyof VolumeFolder]?: unknown }) =>
  guardFolder({ path: "/srv/overlays/7", ...parts } as VolumeFolder, { kind: "shelf", path: "shelf" })
const options = (plugin: unknown) => ({
  plugins: new PluginRegistry().add(plugin, "it"),
  host: {},
  signal: new AbortController().signal,
})

it("asserts that names are single segments which do not begin with a dot", async () => {
  const folder = guarded({ readFile: async () => undefined, folder: () => ({ path: "x" }) })
  for (const name of ["", ".", "..", ".hidden", "a/b", "a\\b", "a\0", "ä", "x".repeat(129)]) {
    expect(() => folder.readFile(name), name).toThrow(AssertionError)
    expect(() => folder.folder(name), name).toThrow(AssertionError)
    await expect(folder.open(name), name).rejects.toThrow(AssertionError)
    expect(() => folder.rename("fine", name), name).toThrow(AssertionError)
  }
  for (const name of ["a", "0", "-", "_", "a..b", "data.img", "x".repeat(128)])
    expect(await folder.readFile(name)).toBeUndefined()
})

it("contains what a folder throws, naming the entry", async () => {
  const full = () => Promise.reject(Object.assign(new Error("full"), { code: "ENOSPC" }))
  const folder = guarded({ replaceFile: full, sync: full, list: () => Promise.reject("no") })
  await expect(folder.replaceFile("header", new Uint8Array(1))).rejects.toThrow("/srv/overlays/7/header")
  await expect(folder.sync()).rejects.toMatchObject({ code: "NO_SPACE" })
  await expect(folder.list()).rejects.toMatchObject({ code: "IO_ERROR", reason: "the plugin shelf failed: no" })
})

it("refuses a volume that cannot be written, or is not as long as it was to be, and closes it", async () => {
  let closed = 0
  const close = async () => void closed++
  const { read } = memoryVolume(new Uint8Array(8))
  const readOnly = guarded({ open: async () => ({ sizeBytes: 8, read, close }) })
  await expect(readOnly.open("data")).rejects.toMatchObject({ code: "PLUGIN_BROKE_CONTRACT" })
  const short = guarded({ open: async () => ({ ...memoryVolume(new Uint8Array(8)), close }) })
  await expect(short.open("data", { create: { sizeBytes: 9 } })).rejects.toMatchObject({
    reason: "data was to be 9 bytes long and is 8",
  })
  expect(closed).toBe(2)
  expect((await short.open("data", { create: { sizeBytes: 8 } })).sizeBytes).toBe(8)
})

it("opens a folder of a plugin that has one, and says so of one that has none", async () => {
  const location = { kind: "memory", config: { name: "generation" } }
  const folder = await openFolder(location, options(memorySubject().plugin))
  await folder.folder("inner").replaceFile("header", Uint8Array.of(1))
  expect(await folder.list()).toEqual(["inner"])
  await expect(openFolder({ kind: "example", config: { sizeBytes: 512 } }, options(example))).rejects.toMatchObject({
    code: "NOT_SUPPORTED",
  })
})
