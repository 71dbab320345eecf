/**
 * EXTENDED COPY(LID1) and RECEIVE COPY RESULTS: the target copies blocks between its own units (SPC-4 §6.4, §6.18 to §6.23).
 *
 *      parameter list                                    segment 02h: block to block
 *      0   list identifier      1  list id usage 0x18    2   length 18h        4  source, 6  destination: index of target
 *      2   target descriptors' length                    10  number of blocks
 *      8   segment descriptors' length                   12  source LBA       20  destination LBA
 *      12  inline data length
 *      16  target descriptors (E4h: identification)      then segment descriptors
 *
 * **Details** A target is one of this nexus's own units, named as its VPD page 83h names it. Segments are carried out in order, in steps; one that
 * overlaps itself is copied from its end. All is judged before the first block is written, but an error of the disk ends a copy midway:
 * COPY ABORTED. The result is held for RECEIVE COPY RESULTS unless the list id usage says not to.
 *
 * **Not done** Other descriptors (streams, inline data, verify, extents), copies between targets, LID4 and the token commands.
 */
import { readU16, readU32, readU64, writeU16, writeU32 } from "../../core/bytes.ts"
import { limits } from "../../core/limits.ts"
import { writeFlags } from "./block-commands.ts"
import { allocated, type Command, cdb32, done, type Reply } from "./command.ts"
import { unitDesignators } from "./inquiry.ts"
import {
  ASC,
  CheckCondition,
  COPY_ABORTED,
  DATA_PROTECT,
  ILLEGAL_REQUEST,
  invalidField,
  parameterListLengthError,
} from "./sense.ts"
import type { UnitView } from "./unit.ts"

const HEAD_BYTES = 16
const TARGET_BYTES = 32
const IDENTIFICATION = 0xe4
const BLOCK_TO_BLOCK = 0x02
const SEGMENT_BYTES = 28
/** List id usage (§6.4.3.2): 11b holds nothing. */
const HOLD_NOTHING = 3

interface Segment {
  readonly from: UnitView
  readonly to: UnitView
  readonly source: number
  readonly destination: number
  readonly bytes: number
}

export const extendedCopy = async (c: Command): Promise<Reply> => {
  if ((c.cdb[1]! & 0x1f) !== 0) throw invalidField(1, 4)
  const length = cdb32(c, 10)
  if (length === 0) return done
  if (c.data.length < length || length < HEAD_BYTES) throw parameterListLengthError()
  const targetBytes = readU16(c.data, 2)
  const segmentBytes = readU32(c.data, 8)
  if (HEAD_BYTES + targetBytes + segmentBytes + readU32(c.data, 12) > length) throw parameterListLengthError()
  if (targetBytes + segmentBytes > limits.scsiCopyListBytesMax) throw parameterListLengthError()
  const targets = targetsOf(c, targetBytes)
  const segments = segmentsOf(c, HEAD_BYTES + targetBytes, segmentBytes, targets)
  const held = (c.data[1]! >> 3) & 3
  let segmentsDone = 0
  let bytesDone = 0
  const keep = (failed: boolean) => {
    if (held === HOLD_NOTHING) return
    const { copies } = c.nexus
    if (copies.size >= limits.scsiCopyResultsMax) copies.delete(copies.keys().next().value!)
    copies.set(c.data[0]!, { failed, segments: segmentsDone, bytes: bytesDone })
  }
  try {
    for (const segment of segments) {
      await copy(c, segment)
      segmentsDone++
      bytesDone += segment.bytes
    }
  } catch (e) {
    keep(true)
    throw e instanceof CheckCondition ? e : new CheckCondition(COPY_ABORTED, ASC.none)
  }
  keep(false)
  return done
}

const targetsOf = (c: Command, bytes: number): ReadonlyArray<UnitView | undefined> => {
  if (bytes % TARGET_BYTES !== 0) throw parameterListLengthError()
  if (bytes / TARGET_BYTES > limits.scsiCopyTargetsMax)
    throw new CheckCondition(ILLEGAL_REQUEST, ASC.copyTooManyTargets)
  const targets: Array<UnitView | undefined> = []
  for (let at = HEAD_BYTES; at < HEAD_BYTES + bytes; at += TARGET_BYTES) {
    if (c.data[at] !== IDENTIFICATION) throw new CheckCondition(ILLEGAL_REQUEST, ASC.copyUnsupportedTarget)
    const designator = Buffer.from(c.data.subarray(at + 4, at + 8 + Math.min(c.data[at + 7]!, 20)))
    targets.push([...c.nexus.views.values()].find((view) => isNamed(view, designator)))
  }
  return targets
}

/** Code set, association and type, and the bytes; protocol and PIV do not matter for a unit's name. */
const isNamed = (view: UnitView, wanted: Uint8Array): boolean =>
  unitDesignators(view.unit.identity).some(
    (ours) =>
      (ours[0]! & 0x0f) === (wanted[0]! & 0x0f) &&
      (ours[1]! & 0x3f) === (wanted[1]! & 0x3f) &&
      Buffer.compare(ours.subarray(4, 24), wanted.subarray(4)) === 0,
  )

const segmentsOf = (
  c: Command,
  from: number,
  bytes: number,
  targets: ReadonlyArray<UnitView | undefined>,
): ReadonlyArray<Segment> => {
  const segments: Array<Segment> = []
  for (let at = from; at < from + bytes; at += SEGMENT_BYTES) {
    if (c.data[at] !== BLOCK_TO_BLOCK) throw new CheckCondition(ILLEGAL_REQUEST, ASC.copyUnsupportedSegment)
    if (at + SEGMENT_BYTES > from + bytes || readU16(c.data, at + 2) !== SEGMENT_BYTES - 4)
      throw parameterListLengthError()
    if (segments.length >= limits.scsiCopySegmentsMax)
      throw new CheckCondition(ILLEGAL_REQUEST, ASC.copyTooManySegments)
    segments.push(segmentAt(c, at, targets))
  }
  return segments
}

const segmentAt = (c: Command, at: number, targets: ReadonlyArray<UnitView | undefined>): Segment => {
  const source = targets[readU16(c.data, at + 4)]
  const destination = targets[readU16(c.data, at + 6)]
  if (source === undefined || destination === undefined)
    throw new CheckCondition(COPY_ABORTED, ASC.copyTargetNotReachable)
  // DC: the number of blocks is counted in the destination's (§6.4.6.4); both are the same size here, or the copy is refused.
  const block = source.device.logicalBlockBytes
  const blocks = readU16(c.data, at + 10)
  const sourceLba = readU64(c.data, at + 12)
  const destinationLba = readU64(c.data, at + 20)
  const fits = sourceLba + blocks <= source.capacityBlocks && destinationLba + blocks <= destination.capacityBlocks
  if (!fits || destination.device.logicalBlockBytes !== block) throw new CheckCondition(COPY_ABORTED, ASC.none)
  if (!destination.writable) throw new CheckCondition(DATA_PROTECT, ASC.writeProtected)
  const conflicts =
    source.unit.reservations.conflicts(source.port, false) ||
    destination.unit.reservations.conflicts(destination.port, true)
  if (conflicts) throw new CheckCondition(COPY_ABORTED, ASC.copyTargetNotReachable)
  return {
    from: source,
    to: destination,
    source: sourceLba * block,
    destination: destinationLba * block,
    bytes: blocks * block,
  }
}

const copy = async (c: Command, { from, to, source, destination, bytes }: Segment): Promise<void> => {
  const step = limits.scsiStepBytes
  const backwards = from.unit === to.unit && source < destination
  const buffer = Buffer.allocUnsafe(Math.min(bytes, step))
  const steps = Math.ceil(bytes / step)
  for (let i = 0; i < steps; i++) {
    const at = (backwards ? steps - 1 - i : i) * step
    const length = Math.min(step, bytes - at)
    await from.device.read(buffer, 0, source + at, length, c.signal)
    await to.device.write(buffer, 0, destination + at, length, writeFlags(c, false), c.signal)
  }
}

export const COPY_STATUS = 0
export const OPERATING_PARAMETERS = 3

export const copyStatus = (c: Command): Reply => {
  const id = c.cdb[2]!
  const result = c.nexus.copies.get(id)
  if (result === undefined) throw invalidField(2)
  c.nexus.copies.delete(id)
  const b = Buffer.alloc(12)
  writeU32(b, 0, 8)
  b[4] = 0x80 | (result.failed ? 0x02 : 0x01) // HDD; completed with errors, or without
  writeU16(b, 5, result.segments)
  b[7] = 0x01 // transfer count in KiB
  writeU32(b, 8, Math.floor(result.bytes / 1024))
  return allocated(b, cdb32(c, 10))
}

export const operatingParameters = (c: Command): Reply => {
  const b = Buffer.alloc(46)
  writeU32(b, 0, b.length - 4)
  writeU16(b, 8, limits.scsiCopyTargetsMax)
  writeU16(b, 10, limits.scsiCopySegmentsMax)
  writeU32(b, 12, limits.scsiCopyListBytesMax)
  writeU32(b, 16, 0xffff * c.device.logicalBlockBytes)
  writeU16(b, 34, 1)
  b[36] = 1
  b[37] = Math.log2(c.device.logicalBlockBytes)
  b[43] = 2
  b[44] = BLOCK_TO_BLOCK
  b[45] = IDENTIFICATION
  return allocated(b, cdb32(c, 10))
}
