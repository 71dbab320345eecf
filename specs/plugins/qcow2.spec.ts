import { formatPluginSuite, sampleBytes } from "imagelink/conformance/format-plugin"
import { describe, expect, it } from "vitest"
import { fail, isImagelinkError } from "../../core/errors.ts"
import { limits } from "../../core/limits.ts"
import type { Volume } from "../../core/storage/volume.ts"
import qcow2 from "../../plugins/formats/qcow2/index.ts"
import { ends } from "../conformance/format/subject.ts"
import { type BuiltQcow2, buildQcow2, type Qcow2Plan, type UnitState } from "../support/qcow2-image.ts"
import { memoryVolume } from "./memory.ts"

const cycle =
  (...states: ReadonlyArray<UnitState>) =>
  (unit: number) =>
    states[unit % states.length]!
const half = (cluster: number) => cluster % 2 === 0
const compressible = (length: number) => sampleBytes(length).map((byte, i) => (i % 4096 < 3000 ? 7 : byte))
const base = sampleBytes(150_000, { seed: 9 })

const plans: Readonly<Record<string, Qcow2Plan>> = {
  "version 2": { version: 2, clusterBits: 12, content: sampleBytes(100_352), state: cycle("data", "absent") },
  "version 3": { clusterBits: 12, content: sampleBytes(100_352), state: cycle("data", "zero", "absent") },
  "clusters of 512 bytes": { clusterBits: 9, content: sampleBytes(70_144), state: cycle("data", "data", "zero") },
  "one block": { clusterBits: 16, content: sampleBytes(512), state: cycle("data") },
  "nothing at all": { clusterBits: 16, content: new Uint8Array(200_192), state: cycle("absent") },
  subclusters: {
    clusterBits: 14,
    extended: true,
    content: sampleBytes(100_352),
    state: cycle("data", "zero", "absent"),
  },
  deflate: { clusterBits: 12, packed: half, content: compressible(100_352), state: cycle("zero") },
  zstd: { clusterBits: 13, compression: "zstd", packed: half, content: compressible(100_352), state: cycle("data") },
  "zstd under subclusters": {
    clusterBits: 15,
    compression: "zstd",
    packed: half,
    extended: true,
    content: compressible(100_352),
    state: cycle("absent", "data"),
  },
  "a raw backing file, shorter": {
    clusterBits: 12,
    content: sampleBytes(200_192),
    state: cycle("data", "zero", "absent", "absent"),
    backing: { name: "base.raw", format: "raw", content: base },
  },
  "a backing file of no named format, longer": {
    clusterBits: 9,
    content: sampleBytes(70_144),
    state: cycle("absent", "data", "absent"),
    backing: { name: "base.raw", content: base },
  },
  "an external data file": {
    clusterBits: 14,
    extended: true,
    content: sampleBytes(100_352),
    dataFile: "disk.data",
    state: cycle("data", "absent", "data", "zero"),
  },
}

const filesOf = ({ dataFile, backing }: Qcow2Plan, { image, data }: BuiltQcow2): Record<string, Uint8Array> => ({
  "disk.qcow2": image,
  ...(dataFile !== undefined && data !== undefined && { [dataFile]: data }),
  ...(backing?.content !== undefined && { [backing.name]: backing.content }),
})

const samples = Object.entries(plans).map(([name, plan]) => {
  const built = buildQcow2(plan)
  return { name, files: filesOf(plan, built), guest: built.guest }
})
const below = plans.zstd!
const chain: Qcow2Plan = {
  clusterBits: 12,
  content: sampleBytes(120_320, { seed: 3 }),
  state: cycle("absent", "data", "absent"),
  backing: { name: "below.qcow2", format: "qcow2", content: buildQcow2(below).guest },
}
samples.push({
  name: "a qcow2 backing file",
  files: { "disk.qcow2": buildQcow2(chain).image, "below.qcow2": buildQcow2(below).image },
  guest: buildQcow2(chain).guest,
})

const plain = buildQcow2(plans["version 3"]!)
const patched = (patches: ReadonlyArray<readonly [offset: number, hex: string]>, image = plain.image): Uint8Array => {
  const bytes = image.slice()
  for (const [offset, hex] of patches) bytes.set(Buffer.from(hex, "hex"), offset)
  return bytes
}

/** A header that cannot be served: what is wrong, where, the bytes, the code and the words. */
const refused: ReadonlyArray<readonly [what: string, offset: number, hex: string, code: string, why: string]> = [
  ["version 1", 4, "00000001", "IMAGE_FORMAT_UNSUPPORTED", "it is of version 1; versions 2 and 3 are read"],
  ["version 4", 4, "00000004", "IMAGE_FORMAT_UNSUPPORTED", "it is of version 4; versions 2 and 3 are read"],
  ["clusters of 256 bytes", 20, "00000008", "IMAGE_DAMAGED", "its clusters cannot be 2^8 bytes"],
  ["clusters of 4 MiB", 20, "00000016", "IMAGE_DAMAGED", "its clusters cannot be 2^22 bytes"],
  ["clusters of all bits", 20, "ffffffff", "IMAGE_DAMAGED", "its clusters cannot be 2^4294967295 bytes"],
  ["AES", 32, "00000001", "IMAGE_FORMAT_UNSUPPORTED", "it is encrypted (AES)"],
  ["LUKS", 32, "00000002", "IMAGE_FORMAT_UNSUPPORTED", "it is encrypted (LUKS)"],
  ["another encryption", 32, "00000003", "IMAGE_FORMAT_UNSUPPORTED", "it is encrypted (method 3)"],
  ["an L1 of no entries", 36, "00000000", "IMAGE_DAMAGED", "its L1 table of 0 entries is too short for its disk"],
  [
    "an L1 between two clusters",
    40,
    "0000000000002200",
    "IMAGE_DAMAGED",
    "its L1 table begins at 8704, outside the file or between two clusters",
  ],
  [
    "an L1 past the end",
    40,
    "0000000010000000",
    "IMAGE_DAMAGED",
    "its L1 table begins at 268435456, outside the file or between two clusters",
  ],
  [
    "an L1 at the last offset there is",
    40,
    "fffffffffffff000",
    "IMAGE_DAMAGED",
    "its L1 table begins at Infinity, outside the file or between two clusters",
  ],
  [
    "a refcount table past the end",
    48,
    "0000000010000000",
    "IMAGE_DAMAGED",
    "its refcount table begins at 268435456, outside the file or between two clusters",
  ],
  [
    "the corrupt bit",
    72,
    "0000000000000002",
    "IMAGE_DAMAGED",
    "it is marked corrupt: whatever wrote to it last found its tables contradict each other",
  ],
  [
    "unknown features",
    72,
    "8000000000000020",
    "IMAGE_FORMAT_UNSUPPORTED",
    "it needs features that are not known here: number 5, number 63",
  ],
  [
    "subclusters in small clusters",
    72,
    "0000000000000010",
    "IMAGE_DAMAGED",
    "clusters of 4096 bytes are too small for subclusters",
  ],
  [
    "a compression type that is not given",
    72,
    "0000000000000008",
    "IMAGE_DAMAGED",
    "its compression type and the feature bit for it contradict each other",
  ],
  [
    "a compression type without its bit",
    104,
    "01",
    "IMAGE_DAMAGED",
    "its compression type and the feature bit for it contradict each other",
  ],
  [
    "an external data file of no name",
    72,
    "0000000000000004",
    "IMAGE_DEPENDENCY_REFUSED",
    "the image does not say its name",
  ],
  ["a header of 96 bytes", 100, "00000060", "IMAGE_DAMAGED", "its header cannot be 96 bytes long"],
  ["a header of 105 bytes", 100, "00000069", "IMAGE_DAMAGED", "its header cannot be 105 bytes long"],
  ["a header of 4 GiB", 100, "fffffff8", "IMAGE_DAMAGED", "its header cannot be 4294967288 bytes long"],
  [
    "an extension past the end",
    112,
    "12345678ffffffff",
    "IMAGE_DAMAGED",
    "a header extension runs past the end of the header",
  ],
  [
    "a backing name past the first cluster",
    8,
    "0000000000000fff00000002",
    "IMAGE_DAMAGED",
    "the backing file's name lies outside the first cluster, or is too long",
  ],
  [
    "a backing name of 1024 bytes",
    8,
    "000000000000020000000400",
    "IMAGE_DAMAGED",
    "the backing file's name lies outside the first cluster, or is too long",
  ],
  ["a disk of all bits", 24, "ffffffffffffffff", "IMAGE_TOO_LARGE", "the image is larger than the limit on image size"],
]

formatPluginSuite(
  { describe, it },
  {
    format: qcow2,
    samples,
    damaged: refused.map(([name, offset, hex]) => ({ name, files: { "disk.qcow2": patched([[offset, hex]]) } })),
    others: [
      { name: "zeros", bytes: new Uint8Array(4096) },
      { name: "a qcow2 header in the second block", bytes: Uint8Array.from([...new Uint8Array(512), ...plain.image]) },
      { name: "three of four magic bytes", bytes: plain.image.slice(0, 3) },
    ],
  },
)

/** Opens an image that needs no others. */
const openAlone = (image: Uint8Array, volume: Volume = memoryVolume(image)) => {
  const refuse = async (needs: string): Promise<never> => {
    throw fail("IMAGE_DEPENDENCY_REFUSED", { path: "disk.qcow2", needs, why: "it is alone" })
  }
  const { signal } = new AbortController()
  return qcow2.open(volume, { signal, limits, path: "disk.qcow2", sibling: refuse, disk: refuse })
}

const refusal = (asked: Promise<unknown>): Promise<ReadonlyArray<unknown>> =>
  asked.then(
    () => ["answered"],
    (error) => (isImagelinkError(error) ? [error.code, error.reason] : [error]),
  )

describe("a qcow2 header", () => {
  it.each(refused)("is refused for %s", async (_, offset, hex, code, why) => {
    expect(await refusal(openAlone(patched([[offset, hex]])))).toEqual([code, why])
  })

  it("names an unknown feature as the file itself does, without what cannot be printed", async () => {
    const name = Buffer.alloc(48)
    name[1] = 7
    name.write("time\x1b travel", 2, "latin1")
    const table = Buffer.concat([Buffer.from("6803f85700000030", "hex"), name]).toString("hex")
    const image = patched([
      [72, "0000000000000080"],
      [112, table],
    ])
    expect(await refusal(openAlone(image))).toEqual([
      "IMAGE_FORMAT_UNSUPPORTED",
      "it needs features that are not known here: time travel",
    ])
  })

  it("may be dirty, have lazy refcounts, unknown compatible features and unknown extensions", async () => {
    const image = patched([
      [72, "0000000000000001"],
      [80, "8000000000000001"],
      [88, "8000000000000000"],
      [112, "0102030400000003aabbcc0000000000"],
    ])
    const into = new Uint8Array(plain.guest.length)
    await (await openAlone(image)).read(into, 0, 0, into.length)
    expect(into).toEqual(plain.guest)
  })

  it("is known by its first four bytes and nothing else", () => {
    expect(qcow2.probe(ends(Uint8Array.from([0x51, 0x46, 0x49, 0xfb])))).toEqual({ match: "magic" })
    expect(qcow2.probe(ends(Uint8Array.from([0x51, 0x46, 0x49, 0xfa])))).toEqual({ match: "no" })
  })
})

describe("a damaged table", () => {
  const [l2 = 0] = plain.l2Offsets
  const tail = plain.image.length
  const whole = tail - (tail % 4096)
  it.each([
    ["an L1 entry past the end", plain.l1Offset, "8000000010000000", "an L1 entry points past"],
    ["an L1 entry between two clusters", plain.l1Offset, "8000000000003200", "an L1 entry points past"],
    ["an L1 entry of all bits", plain.l1Offset, "ffffffffffffffff", "an L1 entry points past"],
    ["an L2 entry past the end", l2, "8000000010000000", "an L2 entry points past the end of the file"],
    ["an L2 entry right behind the end", l2, `80000000${(whole + 4096).toString(16).padStart(8, "0")}`, "an L2 entry"],
    ["an L2 entry between two clusters", l2, "8000000000003200", "an L2 entry points between two clusters"],
    ["a compressed cluster past the end", l2, "4000000010000000", "an L2 entry points past the end of the file"],
    ["a compressed cluster that is none", l2, "4000000000000000", "a compressed cluster cannot be decompressed"],
  ])("fails reads of what it describes: %s", async (_, offset, hex, why) => {
    const disk = await openAlone(patched([[offset, hex]]))
    const error = await disk.read(new Uint8Array(4096), 0, 100, 200).catch((thrown: unknown) => thrown)
    expect(isImagelinkError(error) && [error.code, error.offset, error.message]).toEqual([
      "MEDIUM_ERROR",
      100,
      expect.stringContaining(why),
    ])
    expect(await disk.extents?.(0, 4096, 10)).toEqual([{ offset: 0, length: 4096, kind: "data" }])
  })

  it("fails that cluster alone, and the rest reads on", async () => {
    const disk = await openAlone(patched([[l2, "8000000010000000"]]))
    const into = new Uint8Array(8192)
    await disk.read(into, 0, 4096, 8192)
    expect(into).toEqual(plain.guest.slice(4096, 12_288))
    await expect(disk.read(into, 0, 4095, 2)).rejects.toMatchObject({ code: "MEDIUM_ERROR", offset: 4095 })
  })

  it("may point to itself, and its bytes are then the data", async () => {
    const disk = await openAlone(patched([[l2, `80000000${l2.toString(16).padStart(8, "0")}`]]))
    const into = new Uint8Array(8)
    await disk.read(into, 0, 0, 8)
    expect(Buffer.from(into).toString("hex")).toBe(`80000000${l2.toString(16).padStart(8, "0")}`)
  })

  it("has subclusters that are both zero and here, or here without a cluster", async () => {
    const built = buildQcow2(plans.subclusters!)
    const [table = 0] = built.l2Offsets
    for (const hex of ["0000000000000000", "8000000000008000"]) {
      const both = hex.startsWith("8") ? "0000000100000001" : "0000000000000001"
      const disk = await openAlone(patched([[table, hex + both]], built.image))
      await expect(disk.read(new Uint8Array(1), 0, 0, 1)).rejects.toMatchObject({ code: "MEDIUM_ERROR", offset: 0 })
    }
  })

  it("of version 2 has no zero bit", async () => {
    const built = buildQcow2(plans["version 2"]!)
    const disk = await openAlone(patched([[built.l2Offsets[0]!, "0000000000000001"]], built.image))
    await expect(disk.read(new Uint8Array(1), 0, 0, 1)).rejects.toThrow("version 2 does not have")
  })
})

describe("reading", () => {
  it("takes what the end of the file cut off its last cluster for zeros", async () => {
    const built = buildQcow2({ clusterBits: 12, content: sampleBytes(8192), state: cycle("data") })
    const cut = built.image.slice(0, built.image.length - 1000)
    const into = new Uint8Array(8192)
    await (await openAlone(cut)).read(into, 0, 0, 8192)
    expect(into).toEqual(sampleBytes(8192).fill(0, 8192 - 1000))
  })

  it("answers at once from a table it has, when all of it is one run and the file answers at once", async () => {
    const disk = await openAlone(plain.image)
    const into = new Uint8Array(4096).fill(0xa5)
    expect(disk.readSync?.(into, 0, 0, 4096)).toBe(false)
    expect(into).toEqual(new Uint8Array(4096).fill(0xa5))
    await disk.read(into, 0, 0, 1)
    expect(disk.readSync?.(into, 0, 0, 4096)).toBe(true)
    expect(into).toEqual(plain.guest.slice(0, 4096))
    expect(disk.readSync?.(into, 0, 4096, 4096)).toBe(true)
    expect(into).toEqual(new Uint8Array(4096))
    // Data and zeros: two runs.
    expect(disk.readSync?.(into, 0, 4095, 2)).toBe(false)
  })

  it("decompresses a cluster once for many reads of it, also at the same time", async () => {
    const built = buildQcow2({
      clusterBits: 16,
      packed: () => true,
      content: compressible(65_536),
      state: cycle("data"),
    })
    const volume = memoryVolume(built.image)
    const requests: Array<number> = []
    const read: Volume["read"] = async (into, at, offset, length) => {
      requests.push(offset)
      await volume.read(into, at, offset, length)
    }
    const disk = await openAlone(built.image, { ...volume, read })
    requests.length = 0
    const parts = Array.from({ length: 16 }, () => new Uint8Array(4096))
    await Promise.all(parts.map((part, i) => disk.read(part, 0, i * 4096, 4096)))
    expect(Buffer.concat(parts)).toEqual(Buffer.from(built.guest))
    // The L2 table, and the compressed cluster behind it.
    expect(requests).toEqual([196_608, 262_144])
  })
})
