/** What the target tells about itself beyond INQUIRY: units, commands, functions, sense, and the small commands of SPC-4. */
import { readU32, writeU16, writeU32 } from "../../core/bytes.ts"
import { allocated, type Command, type CommandSpec, cdb16, cdb32, done, type Reply } from "./command.ts"
import { ASC, encodeSense, invalidField, NO_SENSE, type Sense, UNIT_ATTENTION } from "./sense.ts"

export const testUnitReady = (): Reply => done

/** REPORT LUNS (SPC-4 §6.33): 8 bytes a unit, peripheral device addressing (SAM-5 §4.7.4). */
export const reportLuns = (luns: ReadonlyArray<number>, cdb: Uint8Array): Reply => {
  const select = cdb[2]!
  if (readU32(cdb, 6) < 16) throw invalidField(6)
  // 00h and 02h: all; 01h: well known units, of which there are none.
  if (select > 2) throw invalidField(2)
  const shown = select === 1 ? [] : luns
  const b = Buffer.alloc(8 + 8 * shown.length)
  writeU32(b, 0, 8 * shown.length)
  for (const [i, lun] of shown.entries()) b[8 + 8 * i + 1] = lun
  return allocated(b, readU32(cdb, 6))
}

/** REQUEST SENSE (SPC-4 §6.39): a pending unit attention, which is thereby told; else nothing. */
export const requestSense = (cdb: Uint8Array, attention: number | undefined, otherwise?: Sense): Reply => {
  const sense: Sense =
    attention === undefined
      ? (otherwise ?? { key: NO_SENSE, code: ASC.none })
      : { key: UNIT_ATTENTION, code: attention }
  return allocated(encodeSense(sense, (cdb[1]! & 0x01) !== 0), cdb[4]!)
}

/** START STOP UNIT (SBC-3 §5.25). Stopping brings everything to the disk; a stopped unit answers NOT READY until started. */
export const startStopUnit = async (c: Command): Promise<Reply> => {
  const power = c.cdb[4]! >> 4
  const eject = (c.cdb[4]! & 0x02) !== 0
  const start = (c.cdb[4]! & 0x01) !== 0
  if (eject) throw invalidField(4, 1) // the medium is not removable
  if (power !== 0) throw invalidField(4, 7)
  if (!start && (c.cdb[4]! & 0x04) === 0) await c.device.flush(c.signal)
  c.view.unit.stopped = !start
  c.view.unit.refresh()
  return done
}

/** PREVENT ALLOW MEDIUM REMOVAL (SBC-3 §5.15): nothing can be removed, so both are true at once. */
export const preventAllow = (c: Command): Reply => {
  if ((c.cdb[4]! & 0x03) > 1) throw invalidField(4, 1)
  return done
}

/** READ DEFECT DATA(10) and (12) (SBC-3 §5.18, §5.19): lists as asked for, with nothing in them; a file has no defects. */
export const readDefectData10 = (c: Command): Reply => {
  const b = Buffer.alloc(4)
  b[1] = c.cdb[2]! & 0x1f
  return allocated(b, cdb16(c, 7))
}
export const readDefectData12 = (c: Command): Reply => {
  const b = Buffer.alloc(8)
  b[1] = c.cdb[1]! & 0x1f
  return allocated(b, cdb32(c, 6))
}

const LENGTH_OF_TIMEOUTS = 12

/** REPORT SUPPORTED OPERATION CODES (SPC-4 §6.35). */
export const reportSupportedOpcodes = (c: Command): Reply => {
  const timeouts = (c.cdb[2]! & 0x80) !== 0
  const options = c.cdb[2]! & 0x07
  const opcode = c.cdb[3]!
  const action = cdb16(c, 4)
  const allocation = cdb32(c, 6)
  if (options > 3) throw invalidField(2, 2)
  if (options === 0) return allocated(everyCommand(c.table, timeouts), allocation)
  const hasActions = c.table.some((s) => s.opcode === opcode && s.action !== undefined)
  if (options === 1 && hasActions) throw invalidField(2, 2)
  if (options === 2 && !hasActions && c.table.some((s) => s.opcode === opcode)) throw invalidField(2, 2)
  const spec = c.table.find((s) => s.opcode === opcode && s.action === (hasActions ? action : undefined))
  return allocated(oneCommand(spec, timeouts), allocation)
}

const everyCommand = (table: ReadonlyArray<CommandSpec>, timeouts: boolean): Buffer => {
  const size = timeouts ? 8 + LENGTH_OF_TIMEOUTS : 8
  const b = Buffer.alloc(4 + table.length * size)
  writeU32(b, 0, b.length - 4)
  for (const [i, spec] of table.entries()) {
    const at = 4 + i * size
    b[at] = spec.opcode
    writeU16(b, at + 2, spec.action ?? 0)
    b[at + 5] = (timeouts ? 0x02 : 0) | (spec.action === undefined ? 0 : 0x01)
    writeU16(b, at + 6, spec.usage.length)
    if (timeouts) writeU16(b, at + 8, LENGTH_OF_TIMEOUTS - 2)
  }
  return b
}

const SUPPORTED = 3
const NOT_SUPPORTED = 1

const oneCommand = (spec: CommandSpec | undefined, timeouts: boolean): Buffer => {
  if (spec === undefined) return Buffer.from([0, NOT_SUPPORTED, 0, 0])
  const { length } = spec.usage
  const b = Buffer.alloc(4 + length + (timeouts ? LENGTH_OF_TIMEOUTS : 0))
  b[1] = (timeouts ? 0x80 : 0) | SUPPORTED
  writeU16(b, 2, length)
  b.set(spec.usage, 4)
  if (timeouts) writeU16(b, 4 + length, LENGTH_OF_TIMEOUTS - 2)
  return b
}

/** REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS (SPC-4 §6.36). */
export const reportSupportedTmfs = (c: Command): Reply => {
  const extended = (c.cdb[2]! & 0x80) !== 0
  const allocation = cdb32(c, 6)
  if (allocation < 4) throw invalidField(6)
  const b = Buffer.alloc(extended ? 16 : 4)
  b[0] = 0x80 | 0x40 | 0x10 | 0x08 | 0x04 | 0x02 // ATS ATSS CTSS LURS QTS TRS
  b[1] = 0x02 | 0x01 // QTSS ITNRS
  if (extended) b[3] = 12
  return allocated(b, allocation)
}
