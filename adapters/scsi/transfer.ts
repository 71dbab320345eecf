/**
 * READ and WRITE of every size, decoded without allocating (SBC-3 §5.8 to §5.13, §5.32 to §5.37).
 *
 *      byte   READ(6)        (10)          (12)          (16)
 *      1      LBA 20..16     protect|DPO|FUA  the same   the same
 *      2..    LBA 15..0      LBA 32 bits   LBA 32 bits   LBA 64 bits
 *      length byte 4, 0=256  bytes 7-8     bytes 6-9     bytes 10-13
 *
 * **Details** `judgeRange` is the check every command on a range of blocks passes: inside the disk, not longer than the maximum transfer length.
 * A transfer of no blocks is no error at any LBA up to the capacity (SBC-3 §5.8: "shall not be considered an error").
 */
import { readU16, readU32, readU64 } from "../../core/bytes.ts"
import { limits } from "../../core/limits.ts"
import { READ_6, READ_10, READ_12, READ_16, WRITE_6, WRITE_10, WRITE_12, WRITE_16 } from "./opcodes.ts"
import { ASC, CheckCondition, ILLEGAL_REQUEST, invalidField } from "./sense.ts"

export interface Transfer {
  /** In logical blocks. */
  lba: number
  blocks: number
  fua: boolean
  write: boolean
  /** RDPROTECT or WRPROTECT, which must be 0: no protection information is formatted. */
  protect: number
  cdbBytes: number
}

export const emptyTransfer = (): Transfer => ({ lba: 0, blocks: 0, fua: false, write: false, protect: 0, cdbBytes: 0 })

/** False: not a READ or WRITE. */
export const decodeTransfer = (t: Transfer, cdb: Uint8Array, at: number): boolean => {
  switch (cdb[at]) {
    case READ_10:
    case WRITE_10:
      t.lba = readU32(cdb, at + 2)
      t.blocks = readU16(cdb, at + 7)
      t.cdbBytes = 10
      break
    case READ_16:
    case WRITE_16:
      t.lba = readU64(cdb, at + 2)
      t.blocks = readU32(cdb, at + 10)
      t.cdbBytes = 16
      break
    case READ_6:
    case WRITE_6:
      t.lba = ((cdb[at + 1]! & 0x1f) << 16) | readU16(cdb, at + 2)
      t.blocks = cdb[at + 4] || 256
      t.fua = false
      t.protect = 0
      t.write = cdb[at] === WRITE_6
      t.cdbBytes = 6
      return true
    case READ_12:
    case WRITE_12:
      t.lba = readU32(cdb, at + 2)
      t.blocks = readU32(cdb, at + 6)
      t.cdbBytes = 12
      break
    default:
      return false
  }
  const flags = cdb[at + 1]!
  t.protect = flags >> 5
  t.fua = (flags & 0x08) !== 0
  t.write = (cdb[at]! & 0x0f) === 0x0a
  return true
}

/** Most blocks of one transfer, as VPD page B0h says. */
export const blocksMax = (logicalBlockBytes: number): number => limits.scsiTransferBytesMax / logicalBlockBytes

/** @throws CheckCondition */
export const judgeTransfer = (t: Transfer, capacityBlocks: number, logicalBlockBytes: number): void => {
  if (t.protect !== 0) throw invalidField(1, 7)
  judgeRange(t.lba, t.blocks, capacityBlocks)
  if (t.blocks > blocksMax(logicalBlockBytes)) throw invalidField(2)
}

/** @throws CheckCondition LBA OUT OF RANGE with the first block that is not there. */
export const judgeRange = (lba: number, blocks: number, capacityBlocks: number): void => {
  if (lba + blocks <= capacityBlocks) return
  const information = lba > capacityBlocks ? lba : capacityBlocks
  throw new CheckCondition(ILLEGAL_REQUEST, ASC.lbaOutOfRange, {
    information: Number.isFinite(information) ? information : undefined,
  })
}
