/**
 * The dynamic disk header: the block allocation table's place, and where a differencing disk's parent may be.
 *
 * Virtual Hard Disk Image Format Specification 1.0, "Dynamic Disk Header Format"; everything is big-endian but the locators' UTF-16.
 *
 *      0        8             16             24       28      32          36         40          56      60     64               576
 *      │cxsparse│ data offset │ table offset │ version│entries│ block size│ checksum │ parent id │ time  │ zero │ parent's name  │ 8 locators
 *
 * A locator, 24 bytes: platform code (4), data space (4), data length in bytes (4), zero (4), file offset (8).
 */
import { checksum } from "./footer.ts"

export const headerBytes = 1024
const CHECKSUM_AT = 36
const LOCATORS_AT = 576
const LOCATOR_BYTES = 24
const LOCATORS = 8
/** A BAT entry is a sector number of 32 bits, so no file part can lie beyond 2 TiB; neither does the disk. */
const DISK_BYTES_MAX = 2 ** 32 * 512

export interface Locator {
  /** `W2ru` a relative Windows path, `W2ku` an absolute one; others are of systems and times that are gone. */
  readonly code: string
  readonly at: number
  readonly length: number
}

export interface Header {
  readonly tableAt: number
  readonly entries: number
  readonly blockBytes: number
  readonly parentId: string
  /** As written; empty when there is none. */
  readonly parentName: string
  readonly locators: ReadonlyArray<Locator>
}

/** Decodes 1024 bytes; answers a sentence when they cannot be. */
export const decodeHeader = (bytes: Buffer): Header | string => {
  if (bytes.toString("latin1", 0, 8) !== "cxsparse") return "there is no dynamic disk header where its footer says"
  if (checksum(bytes, CHECKSUM_AT) !== bytes.readUInt32BE(CHECKSUM_AT))
    return "the checksum of its dynamic disk header is wrong"
  if (bytes.readUInt32BE(24) >>> 16 !== 1)
    return `its dynamic disk header is of version 0x${bytes.toString("hex", 24, 28)}`
  const blockBytes = bytes.readUInt32BE(32)
  if (blockBytes < 512 || (blockBytes & (blockBytes - 1)) !== 0) return `it cannot have blocks of ${blockBytes} bytes`
  const entries = bytes.readUInt32BE(28)
  if (entries * blockBytes > DISK_BYTES_MAX + blockBytes)
    return `it cannot have ${entries} blocks of ${blockBytes} bytes`
  return {
    tableAt: Number(bytes.readBigUInt64BE(16)),
    entries,
    blockBytes,
    parentId: bytes.toString("hex", 40, 56),
    parentName: untilNul(utf16be(bytes.subarray(64, LOCATORS_AT))),
    locators: Array.from({ length: LOCATORS }, (_, i) => locator(bytes, LOCATORS_AT + i * LOCATOR_BYTES)),
  }
}

const locator = (bytes: Buffer, at: number): Locator => ({
  code: bytes.toString("latin1", at, at + 4),
  length: bytes.readUInt32BE(at + 8),
  at: Number(bytes.readBigUInt64BE(at + 16)),
})

const utf16be = (bytes: Buffer): string => Buffer.from(bytes).swap16().toString("utf16le")

export const untilNul = (text: string): string => {
  const end = text.indexOf("\0")
  return end < 0 ? text : text.slice(0, end)
}
