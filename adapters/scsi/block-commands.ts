/**
 * The commands on ranges of blocks besides READ and WRITE (SBC-3 §5).
 *
 * | command                | carried out as                                                                                |
 * | ---------------------- | --------------------------------------------------------------------------------------------- |
 * | VERIFY                 | read, and compared when BYTCHK says so                                                        |
 * | WRITE AND VERIFY       | write with FUA, then as VERIFY                                                                |
 * | SYNCHRONIZE CACHE      | flush of everything: more than was asked is allowed                                           |
 * | PRE-FETCH              | prefetch, begun; the answer is GOOD, not CONDITION MET, because nothing pins what it brought   |
 * | WRITE SAME             | zero, when the block is zeros or NDOB; else the block, over and over                          |
 * | UNMAP                  | zero with leave to unmap, range by range: LBPRZ promises zeros for every block, aligned or not |
 * | COMPARE AND WRITE, ORWRITE | under the disk's range lock                                                               |
 *
 * **Details** Long ranges go in steps of `scsiStepBytes`, so that one command holds a bounded buffer. Data-Out that ended early (a residual
 * overflow of the transport) is carried out as far as whole blocks came, where the command is a plain write; the others refuse it.
 */
import { FUA, MAY_UNMAP } from "../../core/block/device.ts"
import { readU16, readU32, readU64 } from "../../core/bytes.ts"
import { limits } from "../../core/limits.ts"
import { type Command, cdb16, done, type Reply, wholeParameters } from "./command.ts"
import {
  ASC,
  CheckCondition,
  ILLEGAL_REQUEST,
  invalidField,
  invalidParameter,
  MISCOMPARE,
  parameterListLengthError,
} from "./sense.ts"
import { blocksMax, judgeRange } from "./transfer.ts"

interface Range {
  readonly lba: number
  readonly blocks: number
}

/** LBA and length by the size of the CDB, which its opcode's group tells. */
export const rangeOf = (cdb: Uint8Array): Range => {
  switch (cdb[0]! >> 5) {
    case 4:
      return { lba: readU64(cdb, 2), blocks: readU32(cdb, 10) }
    case 5:
      return { lba: readU32(cdb, 2), blocks: readU32(cdb, 6) }
    default:
      return { lba: readU32(cdb, 2), blocks: readU16(cdb, 7) }
  }
}

const judged = (
  c: Command,
  blocksLimit = blocksMax(c.device.logicalBlockBytes),
): { offset: number; length: number } => {
  const range = rangeOf(c.cdb)
  judgeRange(range.lba, range.blocks, c.view.capacityBlocks)
  if (range.blocks > blocksLimit) throw invalidField(2)
  return { offset: range.lba * c.device.logicalBlockBytes, length: range.blocks * c.device.logicalBlockBytes }
}

const noProtection = (c: Command): void => {
  if (c.cdb[1]! >> 5 !== 0) throw invalidField(1, 7)
}

const shortData = (): CheckCondition => new CheckCondition(ILLEGAL_REQUEST, ASC.invalidFieldInInformationUnit)

/** FUA when asked for, or when the write cache is off. */
export const writeFlags = (c: Command, fua: boolean): number => (fua || !c.view.unit.modes.writeCache ? FUA : 0)

const inSteps = async (
  offset: number,
  length: number,
  step: (offset: number, length: number, at: number) => Promise<void>,
): Promise<void> => {
  for (let at = 0; at < length; at += limits.scsiStepBytes)
    await step(offset + at, Math.min(limits.scsiStepBytes, length - at), at)
}

const BYTCHK_NONE = 0
const BYTCHK_ALL = 1
const BYTCHK_ONE_BLOCK = 3
const bytchk = (cdb: Uint8Array): number => (cdb[1]! >> 1) & 3

/** How much Data-Out VERIFY takes (§5.28). */
export const verifyTakes = (cdb: Uint8Array, blockBytes: number): number => {
  const { blocks } = rangeOf(cdb)
  const check = bytchk(cdb)
  if (check === BYTCHK_ALL) return blocks * blockBytes
  return check === BYTCHK_ONE_BLOCK && blocks > 0 ? blockBytes : 0
}

const miscompare = (at: number): CheckCondition =>
  new CheckCondition(MISCOMPARE, ASC.miscompareDuringVerify, { information: at })

/** The first byte that differs, or -1. */
const firstDifference = (a: Uint8Array, b: Uint8Array): number => {
  if (Buffer.compare(a, b) === 0) return -1
  let at = 0
  while (a[at] === b[at]) at++
  return at
}

const compare = async (c: Command, offset: number, length: number, check: number): Promise<void> => {
  const block = c.device.logicalBlockBytes
  await inSteps(offset, length, async (from, bytes, at) => {
    const read = Buffer.allocUnsafe(bytes)
    await c.device.read(read, 0, from, bytes, c.signal)
    if (check === BYTCHK_NONE) return
    if (check === BYTCHK_ALL) {
      const found = firstDifference(read, c.data.subarray(at, at + bytes))
      if (found >= 0) throw miscompare(at + found)
      return
    }
    for (let b = 0; b < bytes; b += block) {
      const found = firstDifference(read.subarray(b, b + block), c.data.subarray(0, block))
      if (found >= 0) throw miscompare(at + b + found)
    }
  })
}

export const verify = async (c: Command): Promise<Reply> => {
  noProtection(c)
  const check = bytchk(c.cdb)
  if (check === 2) throw invalidField(1, 2)
  const { offset, length } = judged(c)
  if (c.data.length < verifyTakes(c.cdb, c.device.logicalBlockBytes)) throw shortData()
  await compare(c, offset, length, check)
  return done
}

export const writeAndVerify = async (c: Command): Promise<Reply> => {
  noProtection(c)
  const check = bytchk(c.cdb)
  if (check > BYTCHK_ALL) throw invalidField(1, 2)
  const { offset, length } = judged(c)
  const whole = Math.min(length, c.data.length - (c.data.length % c.device.logicalBlockBytes))
  if (whole === 0) return done
  await c.device.write(c.data, 0, offset, whole, FUA)
  await compare(c, offset, whole, check)
  return done
}

export const synchronizeCache = async (c: Command): Promise<Reply> => {
  const { lba, blocks } = rangeOf(c.cdb)
  judgeRange(lba, blocks, c.view.capacityBlocks)
  await c.device.flush(c.signal)
  return done
}

export const preFetch = (c: Command): Reply => {
  const { lba, blocks } = rangeOf(c.cdb)
  judgeRange(lba, blocks, c.view.capacityBlocks)
  const block = c.device.logicalBlockBytes
  const count = blocks === 0 ? c.view.capacityBlocks - lba : blocks
  const length = Math.min(count * block, limits.ioBytesMax)
  // A hint: what goes wrong, a read will say.
  if (length > 0) void c.device.prefetch(lba * block, length, c.signal).catch(() => {})
  return done
}

const NDOB = 0x01
const hasNdob = (cdb: Uint8Array): boolean => cdb[0]! >> 5 === 4 && (cdb[1]! & NDOB) !== 0
export const writeSameTakes = (cdb: Uint8Array, blockBytes: number): number => (hasNdob(cdb) ? 0 : blockBytes)

/** §5.40, §5.41. */
export const writeSame = async (c: Command): Promise<Reply> => {
  noProtection(c)
  const { device } = c
  const block = device.logicalBlockBytes
  const unmap = (c.cdb[1]! & 0x08) !== 0
  if ((c.cdb[1]! & 0x10) !== 0) throw invalidField(1, 4) // ANCHOR: nothing can be anchored (VPD B2h: ANC_SUP 0)
  if ((c.cdb[1]! & 0x06) !== 0) throw invalidField(1, 2) // PBDATA, LBDATA
  if (unmap && !device.features.trim) throw invalidField(1, 3)
  const { blocks } = rangeOf(c.cdb)
  if (blocks === 0) throw invalidField(c.cdb[0]! >> 5 === 4 ? 10 : 7) // WSNZ
  const { offset, length } = judged(c, limits.scsiWriteSameBytesMax / block)
  const flags = writeFlags(c, false)
  if (hasNdob(c.cdb) || isZero(c, block)) {
    await device.zero(offset, length, flags | (unmap ? MAY_UNMAP : 0), c.signal)
    return done
  }
  const pattern = Buffer.alloc(Math.min(length, limits.scsiStepBytes), c.data.subarray(0, block))
  await inSteps(offset, length, (from, bytes) => device.write(pattern, 0, from, bytes, flags, c.signal))
  return done
}

const isZero = (c: Command, block: number): boolean => {
  if (c.data.length < block) throw shortData()
  for (let i = 0; i < block; i++) if (c.data[i] !== 0) return false
  return true
}

/** §5.29: a header of 8 bytes, then descriptors of 16: LBA, number of blocks. */
export const unmap = async (c: Command): Promise<Reply> => {
  const { device } = c
  const block = device.logicalBlockBytes
  if ((c.cdb[1]! & 0x01) !== 0) throw invalidField(1, 0) // ANCHOR
  if (!device.features.trim) throw new CheckCondition(ILLEGAL_REQUEST, ASC.invalidOpcode)
  const length = cdb16(c, 7)
  if (length === 0) return done
  if (length < 8) throw parameterListLengthError()
  wholeParameters(c, length)
  const described = Math.min(readU16(c.data, 2), length - 8)
  const count = Math.floor(described / 16)
  if (count > limits.scsiUnmapDescriptorsMax) throw invalidParameter(2)
  const ranges: Array<Range> = []
  for (let i = 0; i < count; i++) {
    const at = 8 + 16 * i
    const range = { lba: readU64(c.data, at), blocks: readU32(c.data, at + 8) }
    judgeRange(range.lba, range.blocks, c.view.capacityBlocks)
    if (range.blocks > 0) ranges.push(range)
  }
  const flags = writeFlags(c, false)
  for (const { lba, blocks } of ranges) await device.zero(lba * block, blocks * block, flags | MAY_UNMAP, c.signal)
  return done
}

export const compareAndWriteTakes = (cdb: Uint8Array, blockBytes: number): number => 2 * cdb[13]! * blockBytes

/** §5.2: compares, and writes when all is equal, with nobody else of its kind in between. */
export const compareAndWrite = async (c: Command): Promise<Reply> => {
  noProtection(c)
  const { device } = c
  const lba = readU64(c.cdb, 2)
  const blocks = c.cdb[13]!
  judgeRange(lba, blocks, c.view.capacityBlocks)
  if (blocks > limits.scsiCompareBlocksMax) throw invalidField(13)
  if (blocks === 0) return done
  const offset = lba * device.logicalBlockBytes
  const length = blocks * device.logicalBlockBytes
  if (c.data.length < 2 * length) throw shortData()
  const unlock = await device.lock(offset, length, c.signal)
  try {
    const read = Buffer.allocUnsafe(length)
    await device.read(read, 0, offset, length, c.signal)
    const found = firstDifference(read, c.data.subarray(0, length))
    if (found >= 0) throw miscompare(found)
    await device.write(c.data, length, offset, length, writeFlags(c, (c.cdb[1]! & 0x08) !== 0))
  } finally {
    unlock()
  }
  return done
}

export const orWrite = async (c: Command): Promise<Reply> => {
  noProtection(c)
  const { device } = c
  const { offset, length } = judged(c)
  if (length === 0) return done
  if (c.data.length < length) throw shortData()
  const unlock = await device.lock(offset, length, c.signal)
  try {
    await inSteps(offset, length, async (from, bytes, at) => {
      const read = Buffer.allocUnsafe(bytes)
      await device.read(read, 0, from, bytes, c.signal)
      for (let i = 0; i < bytes; i++) read[i]! |= c.data[at + i]!
      await device.write(read, 0, from, bytes, writeFlags(c, (c.cdb[1]! & 0x08) !== 0))
    })
  } finally {
    unlock()
  }
  return done
}

/** READ and WRITE on the slow path: a miss, a FUA read, a transfer that the transport cut short. */
export const readBlocks = async (c: Command, lba: number, blocks: number, fua: boolean): Promise<Buffer> => {
  const { device } = c
  const length = blocks * device.logicalBlockBytes
  const data = Buffer.allocUnsafe(length)
  // §5.8, FUA: what is newer in a volatile cache goes to the medium first.
  if (fua) await device.flush(c.signal)
  if (length > 0) await device.read(data, 0, lba * device.logicalBlockBytes, length, c.signal)
  return data
}

export const rangeBytes = (cdb: Uint8Array, blockBytes: number): number => rangeOf(cdb).blocks * blockBytes
