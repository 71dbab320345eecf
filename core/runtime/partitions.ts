/**
 * Reads the partition table of a disk: MBR with its logical partitions, or GPT (UEFI 2.10 §5). Pure but for `read`.
 *
 * **Details** A disk without a table is one file system from its first byte on; so is one whose first sector is a file system's boot sector,
 * which ends with the same signature as a table. A GPT is believed only if both its checksums are right; else its backup is asked. Blocks
 * are of 512 bytes, as all disks here are served.
 */
import { crc32 } from "node:zlib"
import { limits } from "../limits.ts"
import { hasBootSector } from "./file-systems.ts"

export interface Partition {
  /** As tools number them: from 1, logical ones from 5; 0 is a disk without a table. */
  readonly number: number
  readonly offset: number
  readonly sizeBytes: number
}

export type PartitionTable =
  | { readonly kind: "gpt" | "mbr" | "none"; readonly partitions: ReadonlyArray<Partition> }
  | { readonly kind: "damaged"; readonly why: string }

export interface ReadableDisk {
  readonly sizeBytes: number
  /** Whole blocks inside the disk. */
  readonly read: (offset: number, length: number) => Promise<Buffer>
}

const BLOCK = limits.logicalBlockBytes
/** Of an MBR partition entry. */
const GPT_PROTECTIVE = 0xee
const EXTENDED: ReadonlyArray<number> = [0x05, 0x0f, 0x85]
/** Logical partitions are numbered from here. */
const LOGICAL_FIRST = 5

export const readPartitions = async (disk: ReadableDisk): Promise<PartitionTable> => {
  const none: PartitionTable = { kind: "none", partitions: [{ number: 0, offset: 0, sizeBytes: disk.sizeBytes }] }
  if (disk.sizeBytes < 2 * BLOCK) return none
  const first = await disk.read(0, BLOCK)
  const entries = entriesOf(first)
  if (hasBootSector(first) || entries === undefined) return none
  if (entries.some(({ type }) => type === GPT_PROTECTIVE)) return readGpt(disk)
  return readMbr(disk, entries)
}

interface MbrEntry {
  readonly number: number
  readonly type: number
  readonly start: number
  readonly blocks: number
}

/** The used ones of the four entries (UEFI 2.10 §5.2.1); undefined when it is no table at all. */
const entriesOf = (sector: Buffer): ReadonlyArray<MbrEntry> | undefined => {
  if (sector.readUInt16LE(510) !== 0xaa55) return undefined
  const found: Array<MbrEntry> = []
  for (let i = 0; i < 4; i++) {
    const at = 446 + i * 16
    const [active, type] = [sector[at]!, sector[at + 4]!]
    const [start, blocks] = [sector.readUInt32LE(at + 8), sector.readUInt32LE(at + 12)]
    if (active !== 0 && active !== 0x80) return undefined
    if (type !== 0 && blocks !== 0) found.push({ number: i + 1, type, start, blocks })
  }
  return found.length === 0 ? undefined : found
}

const readMbr = async (disk: ReadableDisk, entries: ReadonlyArray<MbrEntry>): Promise<PartitionTable> => {
  const partitions: Array<Partition> = []
  for (const { number, type, start, blocks } of entries) {
    if (!EXTENDED.includes(type)) partitions.push({ number, offset: start * BLOCK, sizeBytes: blocks * BLOCK })
    else {
      const logical = await readLogical(disk, start, LOGICAL_FIRST + partitions.filter((p) => p.number > 4).length)
      if (typeof logical === "string") return damaged(logical)
      partitions.push(...logical)
    }
  }
  return judged(disk, "mbr", partitions)
}

/** A chain of tables: each has one partition, counted from that table, and the next table, counted from the first. */
const readLogical = async (disk: ReadableDisk, base: number, first: number): Promise<Array<Partition> | string> => {
  const found: Array<Partition> = []
  for (let at = base; ; ) {
    if ((at + 1) * BLOCK > disk.sizeBytes) return "a table of logical partitions lies past the end of the disk"
    const sector = await disk.read(at * BLOCK, BLOCK)
    if (sector.readUInt16LE(510) !== 0xaa55) return "a table of logical partitions is not there"
    const entries = entriesOf(sector) ?? []
    const own = entries.find(({ type }) => !EXTENDED.includes(type))
    if (own !== undefined) {
      if (found.length === limits.partitionsMax) return `there are more than ${limits.partitionsMax} logical partitions`
      const offset = (at + own.start) * BLOCK
      found.push({ number: first + found.length, offset, sizeBytes: own.blocks * BLOCK })
    }
    const next = entries.find(({ type }) => EXTENDED.includes(type))
    if (next === undefined) return found
    if (base + next.start <= at) return "the tables of logical partitions lead back to one another"
    at = base + next.start
  }
}

const readGpt = async (disk: ReadableDisk): Promise<PartitionTable> => {
  const last = Math.floor(disk.sizeBytes / BLOCK) - 1
  const primary = await readGptAt(disk, 1)
  const found = typeof primary === "string" ? await readGptAt(disk, last) : primary
  if (typeof found !== "string") return judged(disk, "gpt", found)
  if (await isOfLargeBlocks(disk)) return damaged("its GPT was made for blocks of 4096 bytes, and the disk has 512")
  return damaged(`${primary}; of its backup, ${found}`)
}

const isOfLargeBlocks = async ({ sizeBytes, read }: ReadableDisk): Promise<boolean> =>
  sizeBytes >= 9 * BLOCK && isGptHeader(await read(8 * BLOCK, BLOCK))

const isGptHeader = (block: Buffer): boolean => block.toString("latin1", 0, 8) === "EFI PART"

/** The partitions by the header in block `lba` (UEFI 2.10 §5.3.2 and §5.3.3), or what is wrong. */
const readGptAt = async (disk: ReadableDisk, lba: number): Promise<ReadonlyArray<Partition> | string> => {
  const header = await disk.read(lba * BLOCK, BLOCK)
  if (!isGptHeader(header)) return "the GPT header is not there"
  const headerBytes = header.readUInt32LE(12)
  if (headerBytes < 92 || headerBytes > BLOCK) return "the GPT header has no valid size"
  const summed = Buffer.from(header.subarray(0, headerBytes))
  summed.writeUInt32LE(0, 16)
  if (crc32(summed) !== header.readUInt32LE(16)) return "the GPT header's checksum is wrong"
  if (header.readBigUInt64LE(24) !== BigInt(lba)) return "the GPT header says it lies elsewhere"
  const at = Number(header.readBigUInt64LE(72)) * BLOCK
  const [count, size] = [header.readUInt32LE(80), header.readUInt32LE(84)]
  const length = count * size
  if (size < 128 || size % 128 !== 0 || count > limits.gptEntriesMax || size > BLOCK * 8)
    return `the GPT has ${count} entries of ${size} bytes, which is not supported`
  const whole = Math.ceil(length / BLOCK) * BLOCK
  if (at + whole > disk.sizeBytes) return "the GPT's entries lie past the end of the disk"
  const entries = (whole === 0 ? Buffer.alloc(0) : await disk.read(at, whole)).subarray(0, length)
  if (crc32(entries) !== header.readUInt32LE(88)) return "the checksum of the GPT's entries is wrong"
  return gptEntries(entries, size)
}

/** An entry of type zero is unused (UEFI 2.10 §5.3.3). */
const gptEntries = (entries: Buffer, size: number): ReadonlyArray<Partition> => {
  const found: Array<Partition> = []
  for (let at = 0; at < entries.length; at += size) {
    const entry = entries.subarray(at, at + size)
    if (entry.subarray(0, 16).every((byte) => byte === 0)) continue
    const [start, end] = [Number(entry.readBigUInt64LE(32)), Number(entry.readBigUInt64LE(40)) + 1]
    found.push({ number: at / size + 1, offset: start * BLOCK, sizeBytes: (end - start) * BLOCK })
  }
  return found
}

const judged = (disk: ReadableDisk, kind: "gpt" | "mbr", partitions: ReadonlyArray<Partition>): PartitionTable => {
  for (const { number, offset, sizeBytes } of partitions) {
    if (sizeBytes <= 0) return damaged(`partition ${number} ends before it begins`)
    if (offset + sizeBytes > disk.sizeBytes) return damaged(`partition ${number} ends past the end of the disk`)
  }
  return { kind, partitions: [...partitions].sort((a, b) => a.offset - b.offset) }
}

const damaged = (why: string): PartitionTable => ({ kind: "damaged", why })
