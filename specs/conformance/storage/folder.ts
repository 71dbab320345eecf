/** Checks of a folder of writable volumes, which overlays are kept in. */
import assert from "node:assert/strict"
import { guardFolder } from "../../../core/storage/guard-folder.ts"
import type { VolumeFolder } from "../../../core/storage/volume.ts"
import { same, sampleBytes } from "../support/bytes.ts"
import { readRange, refusedWith } from "../support/volumes.ts"
import type { StoragePluginSubject } from "./sample.ts"
import { accepted, context, type StorageCheck } from "./subject.ts"

const SIZE = 1_048_576
const skip: NonNullable<StorageCheck["skip"]> = ({ plugin, folder }) =>
  plugin.folder === undefined
    ? "the plugin has no folder"
    : folder === undefined
      ? "the subject names no folder"
      : undefined

/** `open` makes the folder anew, as a restarted server would. */
const inFolder = async (
  subject: StoragePluginSubject,
  body: (folder: VolumeFolder, open: () => VolumeFolder) => Promise<void>,
): Promise<void> => {
  const { config, release } = await subject.folder!()
  const given = await accepted(subject, config)
  const where = { kind: subject.plugin.kind, path: "the folder" }
  const open = () => guardFolder(subject.plugin.folder!(given, context(subject)), where)
  try {
    await body(open(), open)
  } finally {
    await release?.()
  }
}

const check = (
  name: string,
  body: (folder: VolumeFolder, open: () => VolumeFolder) => Promise<void>,
): StorageCheck => ({
  name: `folder: ${name}`,
  skip,
  run: (subject) => inFolder(subject, body),
})

const text = (value: string) => new TextEncoder().encode(value)

export const folderChecks: ReadonlyArray<StorageCheck> = [
  check("is empty until something is written, and looking does not make it", async (folder) => {
    assert.deepEqual(await folder.list(), [])
    assert.equal(await folder.readFile("header"), undefined)
    await folder.remove("header")
    await folder.sync()
    assert.deepEqual(await folder.folder("deeper").list(), [])
    await refusedWith("IMAGE_FILE_NOT_FOUND", "opening what is not there", () => folder.open("data"))
  }),
  check("creates a volume of its full length that reads as zeros, first byte to last", async (folder) => {
    const volume = await folder.open("data", { create: { sizeBytes: SIZE } })
    assert.equal(volume.sizeBytes, SIZE)
    same(await readRange(volume, 0, SIZE), new Uint8Array(SIZE), "a new volume")
    await volume.close()
  }),
  check("creates a volume larger than the disk, because it is sparse", async (folder) => {
    const sizeBytes = 2 ** 42
    const volume = await folder.open("data", { create: { sizeBytes } })
    await volume.write(text("end"), 0, sizeBytes - 3, 3)
    same(await readRange(volume, sizeBytes - 4, 4), text("\0end"), "the last four bytes")
    await volume.close()
  }),
  check("refuses to create what exists, and leaves it as it was", async (folder) => {
    const volume = await folder.open("data", { create: { sizeBytes: 4096 } })
    await volume.write(text("kept"), 0, 0, 4)
    await volume.close()
    await assert.rejects(folder.open("data", { create: { sizeBytes: 8192 } }))
    const again = await folder.open("data")
    assert.equal(again.sizeBytes, 4096)
    same(await readRange(again, 0, 4), text("kept"), "the first four bytes")
    await again.close()
  }),
  check("reads back through both doors, before a flush and after opening again", async (folder, open) => {
    const bytes = sampleBytes(10_000)
    const volume = await folder.open("data", { create: { sizeBytes: SIZE } })
    if (!volume.writeSync(bytes, 0, 4095, 5000)) await volume.write(bytes, 0, 4095, 5000)
    await volume.write(bytes, 5000, 9095, 5000)
    const into = new Uint8Array(10_000)
    if (!volume.readSync(into, 0, 4095, 10_000)) await volume.read(into, 0, 4095, 10_000)
    same(into, bytes, "before the flush")
    await volume.flush()
    await folder.sync()
    await volume.close()
    const again = await open().open("data")
    same(await readRange(again, 4095, 10_000), bytes, "opened again")
    same(await readRange(again, 4094, 1), new Uint8Array(1), "the byte before")
    await again.close()
  }),
  check("punches a range to zeros, or says false and changes nothing", async (folder) => {
    const bytes = sampleBytes(16_384)
    const volume = await folder.open("data", { create: { sizeBytes: SIZE } })
    await volume.write(bytes, 0, 0, bytes.length)
    if (await volume.punch(4096, 8192)) bytes.fill(0, 4096, 12_288)
    same(await readRange(volume, 0, bytes.length), bytes, "after the punch")
    await volume.close()
  }),
  check("replaces a file whole, longer by shorter, and lists only finished files", async (folder, open) => {
    await folder.replaceFile("header", text("a longer header"))
    await folder.replaceFile("header", text("short"))
    same((await open().readFile("header"))!, text("short"), "the header")
    await folder.replaceFile("empty", new Uint8Array(0))
    assert.equal((await folder.readFile("empty"))?.length, 0)
    assert.deepEqual(await folder.list(), ["empty", "header"])
  }),
  check("keeps the last of several replacements at once", async (folder) => {
    await Promise.all(["one", "two", "three"].map((value) => folder.replaceFile("header", text(value))))
    same((await folder.readFile("header"))!, text("three"), "the header")
    assert.deepEqual(await folder.list(), ["header"])
  }),
  check("renames over an older file", async (folder) => {
    await folder.replaceFile("new", text("new"))
    await folder.replaceFile("old", text("old"))
    await folder.rename("new", "old")
    assert.deepEqual(await folder.list(), ["old"])
    same((await folder.readFile("old"))!, text("new"), "the renamed file")
  }),
  check("holds folders, lists them by name in order, and removes them whole, twice", async (folder) => {
    await folder.folder("b").replaceFile("header", text("b"))
    await folder.folder("a").folder("deep").replaceFile("header", text("a"))
    assert.deepEqual(await folder.list(), ["a", "b"])
    assert.deepEqual(await folder.folder("a").list(), ["deep"])
    await folder.remove("a")
    await folder.remove("a")
    assert.deepEqual(await folder.list(), ["b"])
  }),
]
