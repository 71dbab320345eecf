/**
 * MODE SENSE and MODE SELECT (SPC-4 §6.11 to §6.14, §7.5; SBC-3 §6.5).
 *
 * | page | what                          | changeable                          |
 * | ---- | ----------------------------- | ----------------------------------- |
 * | 01   | read-write error recovery     | nothing                             |
 * | 08   | caching                       | WCE: off makes every write FUA      |
 * | 0A   | control                       | SWP, D_SENSE                        |
 * | 1C   | informational exceptions      | nothing                             |
 *
 * **Details** What may be changed is changed for every initiator, who are told by unit attention (2Ah/01h). Nothing is saved: PS is 0, and SP is
 * refused. A page that is sent must be as long as ours, and differ only in what may be changed.
 */
import { readU16, writeU16, writeU32, writeU64 } from "../../core/bytes.ts"
import { allocated, type Command, cdb16, done, type Reply, wholeParameters } from "./command.ts"
import {
  ASC,
  CheckCondition,
  ILLEGAL_REQUEST,
  invalidField,
  invalidParameter,
  parameterListLengthError,
} from "./sense.ts"
import type { Modes } from "./unit.ts"

interface Page {
  readonly code: number
  encode(modes: Modes): Buffer
  /** Bits that may be changed, at the same places. */
  readonly changeable: Buffer
  take(b: Uint8Array, at: number, modes: Modes): void
}

const bytes = (length: number, at: Readonly<Record<number, number>>): Buffer => {
  const b = Buffer.alloc(length)
  for (const [place, value] of Object.entries(at)) b[Number(place)] = value
  return b
}

const pages: ReadonlyArray<Page> = [
  {
    code: 0x01,
    encode: () => bytes(12, { 0: 0x01, 1: 10, 2: 0xc0 }), // AWRE, ARRE
    changeable: bytes(12, { 0: 0x01, 1: 10 }),
    take: () => {},
  },
  {
    code: 0x08,
    encode: (m) => bytes(20, { 0: 0x08, 1: 18, 2: m.writeCache ? 0x04 : 0 }),
    changeable: bytes(20, { 0: 0x08, 1: 18, 2: 0x04 }),
    take: (b, at, m) => {
      m.writeCache = (b[at + 2]! & 0x04) !== 0
    },
  },
  {
    code: 0x0a,
    // Queue algorithm modifier 1: unrestricted reordering; TAS 0, UA_INTLCK_CTRL 0.
    encode: (m) =>
      bytes(12, { 0: 0x0a, 1: 10, 2: m.descriptorSense ? 0x04 : 0, 3: 0x10, 4: m.writeProtect ? 0x08 : 0 }),
    changeable: bytes(12, { 0: 0x0a, 1: 10, 2: 0x04, 4: 0x08 }),
    take: (b, at, m) => {
      m.descriptorSense = (b[at + 2]! & 0x04) !== 0
      m.writeProtect = (b[at + 4]! & 0x08) !== 0
    },
  },
  {
    code: 0x1c,
    encode: () => bytes(12, { 0: 0x1c, 1: 10, 2: 0x08 }), // DEXCPT: none are reported
    changeable: bytes(12, { 0: 0x1c, 1: 10 }),
    take: () => {},
  },
]
const ALL = 0x3f
const CURRENT = 0
const CHANGEABLE = 1
const SAVED = 3
const fresh: Modes = { writeCache: true, writeProtect: false, descriptorSense: false }

const pagesOf = (c: Command): Buffer => {
  const code = c.cdb[2]! & 0x3f
  const control = c.cdb[2]! >> 6
  const subpage = c.cdb[3]!
  if (control === SAVED) throw new CheckCondition(ILLEGAL_REQUEST, ASC.savingNotSupported)
  const chosen = pages.filter((p) => code === ALL || p.code === code)
  const subpages = subpage === 0 || (subpage === 0xff && code === ALL)
  if (chosen.length === 0) throw invalidField(2, 5)
  if (!subpages) throw invalidField(3)
  const { modes } = c.view.unit
  return Buffer.concat(
    chosen.map((p) => (control === CHANGEABLE ? p.changeable : p.encode(control === CURRENT ? modes : fresh))),
  )
}

/** WP and DPOFUA (SBC-3 §6.5.1). */
const deviceParameter = (c: Command): number => (c.view.writable ? 0 : 0x80) | 0x10

const shortDescriptor = (c: Command): Buffer => {
  const b = Buffer.alloc(8)
  writeU32(b, 0, Math.min(c.view.capacityBlocks, 0xffff_ffff))
  writeU32(b, 4, c.device.logicalBlockBytes) // byte 4 is reserved; a block is far below 2^24
  return b
}

const longDescriptor = (c: Command): Buffer => {
  const b = Buffer.alloc(16)
  writeU64(b, 0, c.view.capacityBlocks)
  writeU32(b, 12, c.device.logicalBlockBytes)
  return b
}

export const modeSense6 = (c: Command): Reply => {
  const descriptor = (c.cdb[1]! & 0x08) !== 0 ? Buffer.alloc(0) : shortDescriptor(c)
  const body = pagesOf(c)
  const head = Buffer.from([3 + descriptor.length + body.length, 0, deviceParameter(c), descriptor.length])
  return allocated(Buffer.concat([head, descriptor, body]), c.cdb[4]!)
}

export const modeSense10 = (c: Command): Reply => {
  const long = (c.cdb[1]! & 0x10) !== 0
  const none = (c.cdb[1]! & 0x08) !== 0
  const descriptor = none ? Buffer.alloc(0) : long ? longDescriptor(c) : shortDescriptor(c)
  const body = pagesOf(c)
  const head = Buffer.alloc(8)
  writeU16(head, 0, 6 + descriptor.length + body.length)
  head[3] = deviceParameter(c)
  head[4] = long && !none ? 0x01 : 0
  writeU16(head, 6, descriptor.length)
  return allocated(Buffer.concat([head, descriptor, body]), cdb16(c, 7))
}

const judgeSelect = (c: Command): void => {
  if ((c.cdb[1]! & 0x10) === 0) throw invalidField(1, 4)
  if ((c.cdb[1]! & 0x01) !== 0) throw invalidField(1, 0)
}

export const modeSelect6 = (c: Command): Reply => {
  judgeSelect(c)
  const length = c.cdb[4]!
  wholeParameters(c, length)
  if (length === 0) return done
  if (length < 4) throw parameterListLengthError()
  return select(c, 4, c.data[3]!, length, false)
}

export const modeSelect10 = (c: Command): Reply => {
  judgeSelect(c)
  const length = cdb16(c, 7)
  wholeParameters(c, length)
  if (length === 0) return done
  if (length < 8) throw parameterListLengthError()
  return select(c, 8, readU16(c.data, 6), length, (c.data[4]! & 0x01) !== 0)
}

const select = (c: Command, headBytes: number, descriptorBytes: number, length: number, long: boolean): Reply => {
  const { unit } = c.view
  if (headBytes + descriptorBytes > length) throw parameterListLengthError()
  judgeDescriptor(c, headBytes, descriptorBytes, long)
  const modes = { ...unit.modes }
  for (let at = headBytes + descriptorBytes; at < length; ) {
    const page = pages.find((p) => p.code === c.data[at])
    if (page === undefined) throw invalidParameter(at)
    const ours = page.encode(unit.modes)
    if (at + 2 > length || c.data[at + 1] !== ours[1]) throw invalidParameter(at + 1)
    if (at + ours.length > length) throw parameterListLengthError()
    for (let i = 2; i < ours.length; i++) {
      if (((c.data[at + i]! ^ ours[i]!) & ~page.changeable[i]!) !== 0) throw invalidParameter(at + i)
    }
    page.take(c.data, at, modes)
    at += ours.length
  }
  const changed =
    modes.writeCache !== unit.modes.writeCache ||
    modes.writeProtect !== unit.modes.writeProtect ||
    modes.descriptorSense !== unit.modes.descriptorSense
  unit.modes = modes
  if (changed) unit.attention(ASC.modeParametersChanged, c.view)
  return done
}

/** None, or one that says what is. The number of blocks may be 0 or all ones: "no change" (SBC-3 §6.5.2). */
const judgeDescriptor = (c: Command, at: number, bytesOf: number, long: boolean): void => {
  if (bytesOf === 0) return
  if (bytesOf !== (long ? 16 : 8)) throw invalidParameter(at - 1)
  const ours = long ? longDescriptor(c) : shortDescriptor(c)
  const countBytes = long ? 8 : 4
  const count = c.data.subarray(at, at + countBytes)
  const keeps =
    count.every((v) => v === 0) || count.every((v) => v === 0xff) || ours.subarray(0, countBytes).equals(count)
  if (!keeps) throw invalidParameter(at)
  for (let i = bytesOf - 3; i < bytesOf; i++) if (c.data[at + i] !== ours[i]) throw invalidParameter(at + bytesOf - 3)
}
