/**
 * The log of a VHDX that was not closed: found, judged, and replayed in memory, so that the file stays as it is.
 *
 * MS-VHDX 2.3; everything is little-endian. The log is a ring of 4 KiB sectors; an entry is a run of them.
 *
 *      entry header   │loge│crc│entry bytes│tail│sequence (8)│descriptors│zero│log id│flushed file bytes (8)│last file bytes (8)│
 *      descriptor     │zero│zero   │length (8) │file offset (8)│sequence (8)│        32 bytes each, right behind the header
 *                     │desc│last 4 │first 8    │file offset (8)│sequence (8)│        … and one data sector, in order
 *      data sector    │data│sequence, high│ bytes 8 to 4091 of the sector │sequence, low│
 *
 * **Which entries count** (2.3.2, 2.3.3). Entries with adjoining sequence numbers, one right behind the other, are a sequence; it is valid if
 * its last entry's `tail` is where one of its entries begins. The valid one that ends with the greatest number is replayed, from its tail on.
 *
 * **Gotchas** The log is read whole and each byte is summed a few times at most, whatever entries claim to be there.
 */
import { limits, type Volume } from "imagelink/plugin"
import { guidAt } from "./guid.ts"
import { checksumHolds, type Header, isRegion, type Refusal, readAt } from "./headers.ts"
import { Patches, patchedVolume } from "./patched.ts"

const SECTOR = 4096
const ENTRY_HEADER = 64
const DESCRIPTOR = 32
const SUMMED_PER_BYTE_MAX = 4
/** The largest disk with its tables and bitmaps needs less. */
const FILE_BYTES_MAX = 2 * limits.imageBytesMax

interface Entry {
  readonly at: number
  readonly bytes: Buffer
  readonly tail: number
  readonly sequence: bigint
  readonly flushedFileBytes: number
  readonly lastFileBytes: number
}

/** The volume as it is after its log. @throws what the volume's read throws */
export const replayLog = async (volume: Volume, header: Header): Promise<Volume | Refusal> => {
  if (header.logVersion !== 0) return { unknown: `its log is of version ${header.logVersion}` }
  if (!isRegion({ at: header.logAt, length: header.logBytes }, volume.sizeBytes))
    return { damaged: `its log is said to be at byte ${header.logAt}` }
  if (header.logBytes > limits.vhdxLogBytesMax)
    return {
      unknown: `its log of ${header.logBytes} bytes has to be replayed; open and close it once with the program that made it`,
    }
  const log = (await readAt(volume, header.logAt, header.logBytes))!
  const active = new LogReader(log, header.logId).activeSequence()
  if (active === undefined)
    return { damaged: "its log is in use and holds no entry that is whole; open it once with the program that made it" }
  const last = active.at(-1)!
  if (last.flushedFileBytes > volume.sizeBytes)
    return { damaged: `the file had ${last.flushedFileBytes} bytes, and now has ${volume.sizeBytes}: it was cut short` }
  if (last.lastFileBytes > FILE_BYTES_MAX) return { damaged: "its log makes the file impossibly large" }
  const patches = new Patches()
  for (const entry of active)
    if (!applyEntry(entry, patches)) return { damaged: "its log has more changes than can be replayed in memory" }
  return patchedVolume(volume, patches, last.lastFileBytes)
}

const applyEntry = ({ bytes }: Entry, patches: Patches): boolean => {
  let data = dataAt(bytes)
  for (let i = 0; i < bytes.readUInt32LE(24); i++) {
    if (patches.laid >= limits.vhdxLogChangesMax) return false
    const at = ENTRY_HEADER + i * DESCRIPTOR
    const offset = Number(bytes.readBigUInt64LE(at + 16))
    if (bytes.toString("latin1", at, at + 4) === "zero") patches.lay(offset, Number(bytes.readBigUInt64LE(at + 8)))
    else {
      const sector = Buffer.from(bytes.subarray(data, data + SECTOR))
      bytes.copy(sector, 0, at + 8, at + 16)
      bytes.copy(sector, SECTOR - 4, at + 4, at + 8)
      patches.lay(offset, SECTOR, sector)
      data += SECTOR
    }
  }
  return true
}

const dataAt = (bytes: Buffer): number => whole(ENTRY_HEADER + bytes.readUInt32LE(24) * DESCRIPTOR)
const whole = (length: number): number => Math.ceil(length / SECTOR) * SECTOR

class LogReader {
  readonly #log: Buffer
  readonly #logId: string
  readonly #entries = new Map<number, Entry | undefined>()
  #summedLeft: number

  constructor(log: Buffer, logId: string) {
    this.#log = log
    this.#logId = logId
    this.#summedLeft = log.length * SUMMED_PER_BYTE_MAX
  }

  /** From its tail on. */
  activeSequence(): ReadonlyArray<Entry> | undefined {
    let best: ReadonlyArray<Entry> | undefined
    for (let start = 0; start < this.#log.length; ) {
      const sequence = this.#sequenceFrom(start)
      const last = sequence.at(-1)
      const tail = sequence.findIndex((entry) => entry.at === last?.tail)
      const newer = last !== undefined && (best === undefined || last.sequence > best.at(-1)!.sequence)
      if (tail >= 0 && newer) best = sequence.slice(tail)
      // A valid sequence is stepped over; it may have gone round the end, where the search ends as well.
      const step = tail >= 0 ? sequence.reduce((sum, entry) => sum + entry.bytes.length, 0) : SECTOR
      start += step
    }
    return best
  }

  #sequenceFrom(start: number): ReadonlyArray<Entry> {
    const found: Array<Entry> = []
    let length = 0
    for (let at = start; length < this.#log.length; at = (start + length) % this.#log.length) {
      const entry = this.#entryAt(at)
      const previous = found.at(-1)
      if (entry === undefined || (previous !== undefined && entry.sequence !== previous.sequence + 1n)) break
      found.push(entry)
      length += entry.bytes.length
    }
    return length > this.#log.length ? [] : found
  }

  #entryAt(at: number): Entry | undefined {
    if (!this.#entries.has(at)) this.#entries.set(at, this.#decode(at))
    return this.#entries.get(at)
  }

  #decode(at: number): Entry | undefined {
    const log = this.#log
    if (log.toString("latin1", at, at + 4) !== "loge" || guidAt(log, at + 32) !== this.#logId) return undefined
    const length = log.readUInt32LE(at + 8)
    const tail = log.readUInt32LE(at + 12)
    if (length < SECTOR || length % SECTOR !== 0 || length > log.length || tail % SECTOR !== 0) return undefined
    if (ENTRY_HEADER + log.readUInt32LE(at + 24) * DESCRIPTOR > length || length > this.#summedLeft) return undefined
    this.#summedLeft -= length
    const bytes = at + length <= log.length ? log.subarray(at, at + length) : this.#roundTheEnd(at, length)
    if (!checksumHolds(bytes, 4) || !descriptorsHold(bytes)) return undefined
    return {
      at,
      bytes,
      tail,
      sequence: bytes.readBigUInt64LE(16),
      flushedFileBytes: Number(bytes.readBigUInt64LE(48)),
      lastFileBytes: Number(bytes.readBigUInt64LE(56)),
    }
  }

  #roundTheEnd(at: number, length: number): Buffer {
    return Buffer.concat([this.#log.subarray(at), this.#log.subarray(0, length - (this.#log.length - at))])
  }
}

/** Each of the entry's sequence number, each data sector there and of it (2.3.1.2 to 2.3.1.4). */
const descriptorsHold = (bytes: Buffer): boolean => {
  const sequence = bytes.readBigUInt64LE(16)
  let data = dataAt(bytes)
  for (let i = 0; i < bytes.readUInt32LE(24); i++) {
    const at = ENTRY_HEADER + i * DESCRIPTOR
    const signature = bytes.toString("latin1", at, at + 4)
    const offset = Number(bytes.readBigUInt64LE(at + 16))
    if (bytes.readBigUInt64LE(at + 24) !== sequence || !inFile(offset)) return false
    if (signature === "zero") {
      const length = Number(bytes.readBigUInt64LE(at + 8))
      if (length === 0 || !inFile(length)) return false
    } else {
      if (signature !== "desc" || data + SECTOR > bytes.length || !dataSectorHolds(bytes, data, sequence)) return false
      data += SECTOR
    }
  }
  return true
}

const inFile = (place: number): boolean => place % SECTOR === 0 && place <= FILE_BYTES_MAX

const dataSectorHolds = (bytes: Buffer, at: number, sequence: bigint): boolean =>
  bytes.toString("latin1", at, at + 4) === "data" &&
  BigInt(bytes.readUInt32LE(at + 4)) === sequence >> 32n &&
  BigInt(bytes.readUInt32LE(at + SECTOR - 4)) === (sequence & 0xffff_ffffn)
