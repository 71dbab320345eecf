/**
 * Builds VHDX files from the specification (MS-VHDX), for what qemu-img cannot make: differencing chains, sectors of 4 KiB, logs, lies.
 *
 *     0 header section │ 1 MiB log │ 2 MiB metadata │ 3 MiB BAT │ 4 MiB blocks and bitmaps, in the order given
 */
import { crc32c } from "../../core/bytes.ts"
import { MemoryVolume } from "./memory-volume.ts"
import { patterned } from "./random.ts"

const KiB = 1024
const MiB = 1024 * KiB
export const LOG_AT = MiB
export const METADATA_AT = 2 * MiB
export const BAT_AT = 3 * MiB

export interface VhdxBlock {
  readonly bytes: Uint8Array
  /** Which of its sectors are here; all when left out, and then it is fully present. */
  readonly present?: (sector: number) => boolean
}

export interface VhdxFields {
  readonly sizeBytes: number
  readonly blockBytes?: number
  readonly sectorBytes?: number
  /** Of the header: what a child names its parent by. */
  readonly id: number
  readonly blocks: ReadonlyMap<number, VhdxBlock>
  /** States of blocks that hold nothing: 1 undefined, 2 zero, 3 unmapped. */
  readonly states?: ReadonlyMap<number, number>
  readonly parent?: { readonly id: number; readonly paths: Readonly<Record<string, string>> }
  /** Entries, from the start of the log on. */
  readonly log?: ReadonlyArray<Buffer>
  /** How much longer the file is than its parts. */
  readonly more?: number
}

export interface VhdxFile {
  readonly sizeBytes: number
  readonly parts: ReadonlyArray<readonly [at: number, bytes: Uint8Array]>
}

/** `{12345678-…}` as bytes. */
export const guidBytes = (text: string): Buffer => {
  const [a, b, c, d, e] = text.replace(/[{}]/g, "").split("-")
  const turned = [a, b, c].map((field) => Buffer.from(field!, "hex").reverse())
  return Buffer.concat([...turned, Buffer.from(d! + e!, "hex")])
}
export const vhdxId = (id: number): string => {
  const hex = patterned(16, 2000 + id).toString("hex")
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}
export const LOG_ID = vhdxId(999)

/** Writes the CRC-32C of a structure into its bytes 4 to 7. */
export const sealCrc = (bytes: Buffer): Buffer => {
  bytes.writeUInt32LE(0, 4)
  bytes.writeUInt32LE(crc32c(bytes), 4)
  return bytes
}

export const vhdxHeader = (sequence: number, id: number, logId: string | undefined): Buffer => {
  const b = Buffer.alloc(4 * KiB)
  b.write("head", 0, "latin1")
  b.writeBigUInt64LE(BigInt(sequence), 8)
  guidBytes(vhdxId(id + 500)).copy(b, 16)
  guidBytes(vhdxId(id)).copy(b, 32)
  if (logId !== undefined) guidBytes(logId).copy(b, 48)
  b.writeUInt16LE(1, 66)
  b.writeUInt32LE(MiB, 68)
  b.writeBigUInt64LE(BigInt(LOG_AT), 72)
  return sealCrc(b)
}

const regionTable = (batBytes: number): Buffer => {
  const b = Buffer.alloc(64 * KiB)
  b.write("regi", 0, "latin1")
  b.writeUInt32LE(2, 8)
  const regions = [
    ["2dc27766-f623-4200-9d64-115e9bfd4a08", BAT_AT, batBytes],
    ["8b7ca206-4790-4b9a-b8fe-575f050f886e", METADATA_AT, MiB],
  ] as const
  for (const [i, [id, at, length]] of regions.entries()) {
    guidBytes(id).copy(b, 16 + i * 32)
    b.writeBigUInt64LE(BigInt(at), 32 + i * 32)
    b.writeUInt32LE(length, 40 + i * 32)
    b.writeUInt32LE(1, 44 + i * 32)
  }
  return sealCrc(b)
}

const metadata = ({ sizeBytes, blockBytes = MiB, sectorBytes = 512, id, parent }: VhdxFields): Buffer => {
  const b = Buffer.alloc(128 * KiB)
  b.write("metadata", 0, "latin1")
  const u32 = (...values: ReadonlyArray<number>) => Buffer.from(Uint32Array.from(values).buffer)
  const items: Array<readonly [string, Buffer]> = [
    ["caa16737-fa36-4d43-b3b6-33f0aa44e76b", u32(blockBytes, parent === undefined ? 0 : 2)],
    ["2fa54224-cd1b-4876-b211-5dbed83bf4b8", Buffer.from(BigUint64Array.of(BigInt(sizeBytes)).buffer)],
    ["beca12ab-b2e6-4523-93ef-c309e000c746", guidBytes(vhdxId(id + 700))],
    ["8141bf1d-a96f-4709-ba47-f233a8faab5f", u32(sectorBytes)],
    ["cda348c7-445d-4471-9cc9-e9885251c556", u32(4096)],
  ]
  if (parent !== undefined) items.push(["a8d35f2d-b30b-454d-abf7-d3d84834ab0c", locator(parent)])
  b.writeUInt16LE(items.length, 10)
  let at = 64 * KiB
  for (const [i, [item, bytes]] of items.entries()) {
    guidBytes(item).copy(b, 32 + i * 32)
    b.writeUInt32LE(at, 48 + i * 32)
    b.writeUInt32LE(bytes.length, 52 + i * 32)
    b.writeUInt32LE(4, 56 + i * 32)
    bytes.copy(b, at)
    at += bytes.length
  }
  return b
}

const locator = ({ id, paths }: NonNullable<VhdxFields["parent"]>): Buffer => {
  const pairs = Object.entries({ parent_linkage: `{${vhdxId(id)}}`, ...paths })
  const head = Buffer.alloc(20 + pairs.length * 12)
  guidBytes("b04aefb7-d19e-4a81-b789-25b8e9445913").copy(head)
  head.writeUInt16LE(pairs.length, 18)
  const texts: Array<Buffer> = []
  let at = head.length
  for (const [i, pair] of pairs.entries())
    for (const [j, text] of pair.entries()) {
      const bytes = Buffer.from(text, "utf16le")
      head.writeUInt32LE(at, 20 + i * 12 + j * 4)
      head.writeUInt16LE(bytes.length, 28 + i * 12 + j * 2)
      texts.push(bytes)
      at += bytes.length
    }
  return Buffer.concat([head, ...texts])
}

export const vhdxFile = (fields: VhdxFields): VhdxFile => {
  const { sizeBytes, blockBytes = MiB, sectorBytes = 512, id, blocks, states, parent, log = [], more = 0 } = fields
  const ratio = (2 ** 23 * sectorBytes) / blockBytes
  const count = Math.ceil(sizeBytes / blockBytes)
  const bat = Buffer.alloc(Math.ceil((Math.ceil(count / ratio) * (ratio + 1) * 8) / MiB) * MiB)
  const parts: Array<readonly [number, Uint8Array]> = []
  const bitmaps = new Map<number, Buffer>()
  let at = BAT_AT + bat.length
  const entry = (index: number, state: number, place: number) =>
    bat.writeBigUInt64LE(BigInt(place) | BigInt(state), index * 8)
  for (const [block, state] of states ?? []) entry(block + Math.floor(block / ratio), state, 0)
  for (const [block, { bytes, present }] of blocks) {
    const chunk = Math.floor(block / ratio)
    entry(block + chunk, present === undefined ? 6 : 7, at)
    parts.push([at, bytes])
    at += blockBytes
    if (present === undefined) continue
    let bits = bitmaps.get(chunk)
    if (bits === undefined) {
      bits = Buffer.alloc(MiB)
      bitmaps.set(chunk, bits)
      entry(chunk * (ratio + 1) + ratio, 6, at)
      parts.push([at, bits])
      at += MiB
    }
    const perBlock = blockBytes / sectorBytes
    for (let s = 0; s < perBlock; s++) if (present(s)) bits[((block % ratio) * perBlock + s) >> 3]! |= 1 << (s & 7)
  }
  const signature = Buffer.from("vhdxfile", "latin1")
  const logId = log.length === 0 ? undefined : LOG_ID
  return {
    sizeBytes: at + more,
    parts: [
      [0, signature],
      [64 * KiB, vhdxHeader(1, id, undefined)],
      [128 * KiB, vhdxHeader(2, id, logId)],
      [192 * KiB, regionTable(bat.length)],
      [256 * KiB, regionTable(bat.length)],
      [LOG_AT, Buffer.concat(log)],
      [METADATA_AT, metadata({ ...fields, ...(parent && { parent }) })],
      [BAT_AT, bat],
      ...parts,
    ],
  }
}

export const vhdxBytes = (fields: VhdxFields): Buffer => {
  const { sizeBytes, parts } = vhdxFile(fields)
  const bytes = Buffer.alloc(sizeBytes)
  for (const [at, part] of parts) bytes.set(part, at)
  return bytes
}

/** For disks whose files would not fit into memory. */
export const vhdxVolume = (fields: VhdxFields): MemoryVolume => {
  const { sizeBytes, parts } = vhdxFile(fields)
  const volume = new MemoryVolume(sizeBytes)
  for (const [at, part] of parts) volume.put(part, 0, at, part.length)
  return volume
}

export type LogChange =
  | { readonly at: number; readonly sector: Uint8Array }
  | { readonly at: number; readonly zeros: number }

export interface LogEntryFields {
  readonly sequence: number
  /** Where in the log the sequence begins. */
  readonly tail: number
  readonly changes: ReadonlyArray<LogChange>
  readonly flushed: number
  readonly last: number
  readonly logId?: string
}

/** MS-VHDX 2.3.1. */
export const logEntry = ({ sequence, tail, changes, flushed, last, logId = LOG_ID }: LogEntryFields): Buffer => {
  const head = Buffer.alloc(Math.ceil((64 + changes.length * 32) / 4096) * 4096)
  const sectors: Array<Buffer> = []
  for (const [i, change] of changes.entries()) {
    const at = 64 + i * 32
    head.writeBigUInt64LE(BigInt(change.at), at + 16)
    head.writeBigUInt64LE(BigInt(sequence), at + 24)
    if ("zeros" in change) {
      head.write("zero", at, "latin1")
      head.writeBigUInt64LE(BigInt(change.zeros), at + 8)
      continue
    }
    const bytes = Buffer.from(change.sector)
    head.write("desc", at, "latin1")
    bytes.copy(head, at + 4, 4092)
    bytes.copy(head, at + 8, 0, 8)
    bytes.write("data", 0, "latin1")
    bytes.writeUInt32LE(Math.floor(sequence / 2 ** 32), 4)
    bytes.writeUInt32LE(sequence >>> 0, 4092)
    sectors.push(bytes)
  }
  const entry = Buffer.concat([head, ...sectors])
  entry.write("loge", 0, "latin1")
  entry.writeUInt32LE(entry.length, 8)
  entry.writeUInt32LE(tail, 12)
  entry.writeBigUInt64LE(BigInt(sequence), 16)
  entry.writeUInt32LE(changes.length, 24)
  guidBytes(logId).copy(entry, 32)
  entry.writeBigUInt64LE(BigInt(flushed), 48)
  entry.writeBigUInt64LE(BigInt(last), 56)
  return sealCrc(entry)
}

/** A chain of differencing disks over a base, by seed, with the guest's bytes of each: base first. Every state of a block occurs. */
export const vhdxChain = (options: {
  readonly sizeBytes: number
  readonly layers: number
  readonly seed: number
  readonly sectorBytes?: number
}): ReadonlyArray<{ readonly name: string; readonly fields: VhdxFields; readonly guest: Buffer }> => {
  const { sizeBytes, layers, seed, sectorBytes = 512 } = options
  const count = Math.ceil(sizeBytes / MiB)
  const made: Array<{ name: string; fields: VhdxFields; guest: Buffer }> = []
  for (let layer = 0; layer < layers; layer++) {
    const guest = Buffer.from(made.at(-1)?.guest ?? Buffer.alloc(sizeBytes))
    const blocks = new Map<number, VhdxBlock>()
    const states = new Map<number, number>()
    for (let b = 0; b < count; b++) {
      const kind = (b + layer) % 4
      const end = Math.min(sizeBytes, (b + 1) * MiB)
      if (kind === 0) continue
      if (kind === 1 && layer > 0) {
        states.set(b, 1 + (b % 3))
        guest.fill(0, b * MiB, end)
        continue
      }
      const bytes = patterned(MiB, seed * 1000 + layer * 100 + b)
      const partly = layer > 0 && kind === 3
      const present = (s: number) => !partly || (s * 7 + layer) % 5 < 2 || s % 100 < 9
      blocks.set(b, partly ? { bytes, present } : { bytes })
      for (let from = b * MiB; from < end; from += sectorBytes)
        if (present((from - b * MiB) / sectorBytes))
          bytes.copy(guest, from, from - b * MiB, Math.min(from + sectorBytes, end) - b * MiB)
    }
    const parent = layer > 0 && { parent: { id: layer - 1, paths: { relative_path: `.\\layer-${layer - 1}.vhdx` } } }
    made.push({
      name: `layer-${layer}.vhdx`,
      guest,
      fields: { sizeBytes, sectorBytes, id: layer, blocks, states, ...parent },
    })
  }
  return made
}
