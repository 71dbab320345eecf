/**
 * The header section: which of the two headers counts, and where the regions are.
 *
 * MS-VHDX 2.2; everything is little-endian. Checksums are CRC-32C over the structure with its checksum field zero.
 *
 *      0 vhdxfile   64 KiB header   128 KiB header   192 KiB region table   256 KiB region table   1 MiB …
 *
 *      header (4 KiB)    │head│crc│sequence (8)│file write id│data write id│log id│log version (2)│version (2)│log length│log offset (8)│
 *      region table      │regi│crc│count│zero│ 32 bytes each: id, offset (8), length, required│ … 64 KiB
 */
import { crc32c, type Volume } from "imagelink/plugin"
import { guidAt } from "./guid.ts"

const KiB = 1024
export const MiB = 1024 * KiB
const HEADER_BYTES = 4 * KiB
const HEADERS_AT = [64 * KiB, 128 * KiB]
const REGION_TABLE_BYTES = 64 * KiB
const REGION_TABLES_AT = [192 * KiB, 256 * KiB]
const REGIONS_MAX = 2047

const BAT = "2dc27766-f623-4200-9d64-115e9bfd4a08"
const METADATA = "8b7ca206-4790-4b9a-b8fe-575f050f886e"

export interface Header {
  readonly sequence: bigint
  readonly dataWriteId: string
  readonly logId: string
  readonly logVersion: number
  readonly logAt: number
  readonly logBytes: number
}

export interface Region {
  readonly at: number
  readonly length: number
}

export interface Regions {
  readonly bat: Region
  readonly metadata: Region
}

/** What `read` answers instead when the file is not as it should be; `unknown` when it merely says what we do not know. */
export type Refusal = { readonly damaged: string } | { readonly unknown: string }
export const isRefusal = (answer: object): answer is Refusal => "damaged" in answer || "unknown" in answer

/** MS-VHDX 2.2.2: the valid header with the greater sequence number. */
export const readHeader = async (volume: Volume): Promise<Header | Refusal> => {
  const valid: Array<Buffer> = []
  for (const at of HEADERS_AT) {
    const bytes = await readAt(volume, at, HEADER_BYTES)
    if (bytes !== undefined && bytes.toString("latin1", 0, 4) === "head" && checksumHolds(bytes, 4)) valid.push(bytes)
  }
  const [one, two] = valid
  if (one === undefined) return { damaged: "neither of its two headers is whole" }
  if (two === undefined) return decodeHeader(one)
  const [first, second] = [one.readBigUInt64LE(8), two.readBigUInt64LE(8)]
  if (first === second && !one.equals(two)) return { damaged: "its two headers differ, and neither is the newer one" }
  return decodeHeader(first >= second ? one : two)
}

const decodeHeader = (bytes: Buffer): Header | Refusal => {
  const version = bytes.readUInt16LE(66)
  if (version !== 1) return { unknown: `its header is of version ${version}` }
  return {
    sequence: bytes.readBigUInt64LE(8),
    dataWriteId: guidAt(bytes, 32),
    logId: guidAt(bytes, 48),
    logVersion: bytes.readUInt16LE(64),
    logBytes: bytes.readUInt32LE(68),
    logAt: Number(bytes.readBigUInt64LE(72)),
  }
}

/** MS-VHDX 2.2.3. The second table stands in for the first. */
export const readRegions = async (volume: Volume): Promise<Regions | Refusal> => {
  for (const at of REGION_TABLES_AT) {
    const bytes = await readAt(volume, at, REGION_TABLE_BYTES)
    if (bytes !== undefined && bytes.toString("latin1", 0, 4) === "regi" && checksumHolds(bytes, 4))
      return decodeRegions(bytes, volume.sizeBytes)
  }
  return { damaged: "neither of its two region tables is whole" }
}

const decodeRegions = (bytes: Buffer, fileBytes: number): Regions | Refusal => {
  const count = bytes.readUInt32LE(8)
  if (count > REGIONS_MAX) return { damaged: `its region table cannot have ${count} entries` }
  const found = new Map<string, Region>()
  for (let entry = 16; entry < 16 + count * 32; entry += 32) {
    const id = guidAt(bytes, entry)
    const region = { at: Number(bytes.readBigUInt64LE(entry + 16)), length: bytes.readUInt32LE(entry + 24) }
    const known = id === BAT || id === METADATA
    if (!known && (bytes.readUInt32LE(entry + 28) & 1) === 1) return { unknown: `it needs the region ${id}` }
    if (!known) continue
    if (found.has(id)) return { damaged: "its region table names a region twice" }
    if (!isRegion(region, fileBytes)) return { damaged: `a region is said to be at byte ${region.at}` }
    found.set(id, region)
  }
  const [bat, metadata] = [found.get(BAT), found.get(METADATA)]
  if (bat === undefined || metadata === undefined) return { damaged: "its region table lacks a region" }
  if (bat.at < metadata.at + metadata.length && metadata.at < bat.at + bat.length)
    return { damaged: "its regions overlap" }
  return { bat, metadata }
}

/** "MUST be a multiple of 1 MB", and none begins in the header section; the log is one as well. */
export const isRegion = ({ at, length }: Region, fileBytes: number): boolean =>
  at >= MiB && at % MiB === 0 && length > 0 && length % MiB === 0 && at + length <= fileBytes

export const checksumHolds = (bytes: Buffer, fieldAt: number): boolean => {
  const before = crc32c(bytes.subarray(0, fieldAt))
  return crc32c(bytes.subarray(fieldAt + 4), crc32c(zeros, before)) === bytes.readUInt32LE(fieldAt)
}
const zeros = new Uint8Array(4)

/** Undefined when the file ends before. */
export const readAt = async (volume: Volume, at: number, length: number): Promise<Buffer | undefined> => {
  if (at + length > volume.sizeBytes) return undefined
  const bytes = Buffer.alloc(length)
  if (length > 0) await volume.read(bytes, 0, at, length)
  return bytes
}
