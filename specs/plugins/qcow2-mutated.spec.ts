/**
 * qcow2 files with mutated headers, extensions, tables and ends, opened as an image is and read all over.
 *
 * **Details** Whatever a file says, the answer is bytes or an error of the closed list: no crash, no hang, no request outside a file, no more than
 * a bounded number of bytes read for it. Backing files are mutated too, and names made to point in circles. `IMAGELINK_SEEDS` seeds of 200
 * files each are tried (500 make 100,000); a failure names the seed and the file, and `IMAGELINK_SEED` runs one seed.
 */
import { expect, it } from "vitest"
import { isImagelinkError } from "../../core/errors.ts"
import type { DiskFormat } from "../../core/storage/format.ts"
import { type OpenedImage, openImageFile } from "../../core/storage/open-image.ts"
import { PluginRegistry } from "../../core/storage/registry.ts"
import type { Volume } from "../../core/storage/volume.ts"
import qcow2 from "../../plugins/formats/qcow2/index.ts"
import raw from "../../plugins/formats/raw/index.ts"
import { type BuiltQcow2, buildQcow2, type Qcow2Plan } from "../support/qcow2-image.ts"
import { patterned, type Random, random } from "../support/random.ts"

const FILES = 200
const READ_BYTES_MAX = 65_536
/** More than all tables and clusters of the largest sample, many times over. */
const TRAFFIC_BYTES_MAX = 64 * 2 ** 20

const content = patterned(90_112, 1).map((byte, i) => (i % 8192 < 6000 ? 3 : byte))
const state = (unit: number) => (["data", "zero", "absent"] as const)[unit % 3]!
const third = (cluster: number) => cluster % 3 === 1
const plans: ReadonlyArray<Qcow2Plan> = [
  { version: 2, clusterBits: 9, content, state, packed: third },
  { clusterBits: 12, content, state, packed: third },
  { clusterBits: 12, content, state, packed: third, compression: "zstd" },
  { clusterBits: 14, content, state, packed: third, extended: true },
  { clusterBits: 16, content, state, dataFile: "x.data" },
  { clusterBits: 14, content, state, dataFile: "x.data", extended: true },
  { clusterBits: 12, content, state, backing: { name: "b.qcow2", format: "qcow2" } },
  { clusterBits: 9, content, state, packed: third, backing: { name: "b.qcow2" } },
]
const built = plans.map(buildQcow2)
const bases = [
  buildQcow2({ clusterBits: 12, content, state, backing: { name: "base.raw", format: "raw" } }),
  buildQcow2({ clusterBits: 9, content, state, backing: { name: "a.qcow2", format: "qcow2" } }),
]

/** Numbers that lie at an edge of something. */
const edges = (r: Random, { image, l1Offset, l2Offsets }: BuiltQcow2): bigint => {
  const near = BigInt(
    r.pick([0, l1Offset, l2Offsets[0]!, image.length, image.length - 1, 512, 4096, 65_536, r.int(2 ** 31)]),
  )
  const far = r.pick([0n, 1n, 2n ** 31n, 2n ** 32n - 1n, 2n ** 53n, 2n ** 55n, 2n ** 62n, 2n ** 63n, 2n ** 64n - 1n])
  const flags = r.pick([0n, 0n, 1n << 63n, 1n << 62n, 3n << 62n, (r.int(2) === 0 ? 1n : 3n) << BigInt(r.int(62))])
  return (r.chance(0.7) ? near : far) | flags
}

const mutate = (r: Random, from: BuiltQcow2): Uint8Array => {
  let image = from.image.slice()
  for (let count = 1 + r.int(3); count > 0; count--) {
    const view = new DataView(image.buffer)
    const table = r.chance(0.3) ? from.l1Offset : r.pick(from.l2Offsets)
    const at = Math.min(r.chance(0.5) ? r.int(16) * 8 : table + r.int(48) * 8, image.length - 8)
    const what = r.int(6)
    if (at < 0) break
    if (what <= 1) view.setBigUint64(at, edges(r, from))
    else if (what === 2)
      view.setUint32(at + r.pick([0, 4]), r.pick([0, 1, 8, 9, 13, 21, 22, 104, 112, 512, r.int(2 ** 32)]))
    else if (what === 3) image[r.int(r.chance(0.5) ? 160 : image.length)] = r.int(256)
    else if (what === 4) view.setUint8(at + r.int(8), 1 << r.int(8))
    else image = image.slice(0, Math.max(8, r.chance(0.5) ? r.int(image.length) : image.length - r.int(2000)))
  }
  return image
}

/** A storage plugin of named bytes that counts. The guard refuses requests outside of a file, with a code that is not allowed below. */
const shelf = (files: Readonly<Record<string, Uint8Array>>) => {
  const seen = { bytes: 0, open: 0 }
  const open = async ({ path }: { path: string }): Promise<Volume> => {
    const file = Object.hasOwn(files, path) ? files[path] : undefined
    if (file === undefined) throw Object.assign(new Error("not there"), { code: "ENOENT" })
    seen.open += 1
    const read: NonNullable<Volume["readSync"]> = (into, at, offset, length) => {
      seen.bytes += length
      into.set(file.subarray(offset, offset + length), at)
      return true
    }
    return {
      sizeBytes: file.length,
      readSync: read,
      read: async (into, at, offset, length) => void read(into, at, offset, length),
      close: async () => {
        seen.open -= 1
      },
    }
  }
  const manifest = { persistent: true, writable: false, sparse: false, shared: true, local: true }
  const sibling = (_: unknown, relative: string) => ({ path: relative })
  return { seen, plugin: { apiVersion: 1, kind: "shelf", manifest, sibling, open } }
}

const allowed = [
  ...["IMAGE_DAMAGED", "IMAGE_FORMAT_UNSUPPORTED", "IMAGE_DEPENDENCY_REFUSED", "IMAGE_FILE_NOT_FOUND"],
  ...["IMAGE_NOT_A_DISK", "IMAGE_TOO_LARGE", "IMAGE_SIZE_ODD", "MEDIUM_ERROR"],
]
const tolerate = async (ask: () => Promise<unknown>): Promise<void> => {
  try {
    await ask()
  } catch (thrown) {
    if (!isImagelinkError(thrown) || !allowed.includes(thrown.code)) throw thrown
  }
}

const readAllOver = async ({ disk, sizeBytes }: OpenedImage, r: Random): Promise<void> => {
  const into = new Uint8Array(READ_BYTES_MAX)
  const near = Math.min(sizeBytes, content.length)
  const starts = [
    0,
    Math.max(0, sizeBytes - READ_BYTES_MAX),
    r.int(near),
    r.int(near),
    r.int(Math.min(sizeBytes, 2 ** 31)),
  ]
  for (const offset of starts) {
    const length = Math.min(1 + r.int(READ_BYTES_MAX), sizeBytes - offset)
    await tolerate(async () => {
      if (!disk.readSync(into, 0, offset, length)) await disk.read(into, 0, offset, length)
    })
    await tolerate(async () => disk.readSync(into, 0, offset, length))
    await tolerate(() => disk.extents(offset, sizeBytes - offset, 1 + r.int(64)))
  }
}

/** Opens and reads one mutated image; answers whether it could be opened. */
const tryOne = async (r: Random, format: DiskFormat = qcow2): Promise<boolean> => {
  const below = r.pick(bases)
  const { seen, plugin } = shelf({
    "a.qcow2": mutate(r, r.pick(built)),
    "b.qcow2": r.chance(0.3) ? mutate(r, below) : below.image,
    "base.raw": content,
    "x.data": r.chance(0.8) ? content : content.subarray(0, r.int(content.length)),
  })
  const plugins = new PluginRegistry().add(plugin, "shelf")
  const location = { kind: "shelf", config: { path: "a.qcow2" } }
  const { signal } = new AbortController()
  let opened = false
  await tolerate(async () => {
    // The format is given, or a lost magic would be a raw disk and nothing to try.
    const formats = [raw, format]
    const image = await openImageFile({ location, format: "qcow2", plugins, formats, host: {}, signal })
    opened = true
    await readAllOver(image, r)
    await image.disk.close()
  })
  expect(seen.open).toBe(0)
  expect(seen.bytes).toBeLessThan(TRAFFIC_BYTES_MAX)
  return opened
}

const seeds = process.env.IMAGELINK_SEED === undefined ? Number(process.env.IMAGELINK_SEEDS ?? 15) : 1
const first = Number(process.env.IMAGELINK_SEED ?? 1)
it(`${seeds} times ${FILES} mutated files are answered or refused`, { timeout: 3_600_000 }, async () => {
  for (let seed = first; seed < first + seeds; seed++) {
    const r = random(seed)
    for (let file = 0; file < FILES; file++)
      await tryOne(r).catch((thrown: unknown) => {
        throw new Error(`seed ${seed}, file ${file}`, { cause: thrown })
      })
  }
})

it("enough of them can be opened for their tables to matter, and enough cannot", async () => {
  const r = random(1)
  let opened = 0
  for (let file = 0; file < FILES; file++) if (await tryOne(r)) opened++
  expect(opened).toBeGreaterThan(FILES / 4)
  expect(opened).toBeLessThan((FILES * 3) / 4)
})

it("a format that asks for bytes outside of its file would be caught", async () => {
  const reaching: DiskFormat = {
    ...qcow2,
    open: async (volume, context) => {
      await volume.read(new Uint8Array(1), 0, volume.sizeBytes, 1)
      return qcow2.open(volume, context)
    },
  }
  await expect(tryOne(random(1), reaching)).rejects.toMatchObject({ code: "OUT_OF_RANGE" })
})
