/**
 * PERSISTENT RESERVE IN and OUT, and RESERVE and RELEASE of the older kind (SPC-4 §6.15, §6.16; SPC-2 §7.21, §7.16).
 *
 *      PERSISTENT RESERVE OUT parameter list                REGISTER AND MOVE
 *      0   reservation key                                  0   reservation key
 *      8   service action reservation key                   8   service action reservation key
 *      20  SPEC_I_PT 08, ALL_TG_PT 04, APTPL 01             17  UNREG 02, APTPL 01
 *                                                           18  relative target port   20 TransportID length
 *
 * **Details** A target has one port, so ALL_TG_PT holds by itself. SPEC_I_PT is refused, as REPORT CAPABILITIES says (SIP_C 0). While somebody
 * is registered, RESERVE and RELEASE conflict (SPC-4 §5.13.3, CRH 0); while a RESERVE holds, persistent reservations of others do.
 */
import { readU16, writeU16, writeU32 } from "../../core/bytes.ts"
import { allocated, type Command, cdb16, done, type Reply } from "./command.ts"
import { isReservationType, type Outcome, type Reservations } from "./reservations.ts"
import {
  ASC,
  CheckCondition,
  ILLEGAL_REQUEST,
  invalidField,
  invalidParameter,
  parameterListLengthError,
  RESERVATION_CONFLICT,
} from "./sense.ts"
import { parseTransportId, transportId } from "./transport-id.ts"

const conflict: Reply = { status: RESERVATION_CONFLICT }

export const READ_KEYS = 0
export const READ_RESERVATION = 1
export const REPORT_CAPABILITIES = 2
export const READ_FULL_STATUS = 3

const head = (r: Reservations, body: Uint8Array): Buffer => {
  const b = Buffer.alloc(8 + body.length)
  writeU32(b, 0, r.generation)
  writeU32(b, 4, body.length)
  b.set(body, 8)
  return b
}

const keyBytes = (key: bigint): Buffer => {
  const b = Buffer.alloc(8)
  b.writeBigUInt64BE(key)
  return b
}

const SCOPE_UNIT = 0
const isAllRegistrants = (type: number): boolean => type >= 7

const reservation = (r: Reservations): Buffer => {
  if (r.held === undefined) return Buffer.alloc(0)
  const b = Buffer.alloc(16)
  // §6.15.3.2: for "all registrants" the key is 0.
  if (!isAllRegistrants(r.held.type)) b.set(keyBytes(r.keys.get(r.held.port) ?? 0n), 0)
  b[13] = (SCOPE_UNIT << 4) | r.held.type
  return b
}

const capabilities = (persists: boolean, activated: boolean): Buffer => {
  const b = Buffer.alloc(8)
  writeU16(b, 0, 8)
  b[2] = 0x04 | (persists ? 0x01 : 0) // ATP_C, PTPL_C
  b[3] = 0x80 | 0x10 | (activated ? 0x01 : 0) // TMV; ALLOW COMMANDS 1: TEST UNIT READY; PTPL_A
  b[4] = 0xea // WR_EX_AR EX_AC_RO WR_EX_RO EX_AC WR_EX
  b[5] = 0x01 // EX_AC_AR
  return b
}

const fullStatus = (r: Reservations): Buffer =>
  Buffer.concat(
    [...r.keys].map(([port, key]) => {
      const id = transportId(port)
      const b = Buffer.alloc(24 + id.length)
      b.set(keyBytes(key), 0)
      const holds = r.holds(port)
      b[12] = 0x02 | (holds ? 0x01 : 0) // ALL_TG_PT, R_HOLDER
      if (holds) b[13] = (SCOPE_UNIT << 4) | r.held!.type
      writeU16(b, 18, 1)
      writeU32(b, 20, id.length)
      b.set(id, 24)
      return b
    }),
  )

export const persistentReserveIn = (c: Command): Reply => {
  const r = c.view.unit.reservations
  const allocation = cdb16(c, 7)
  switch (c.cdb[1]! & 0x1f) {
    case READ_KEYS:
      return allocated(head(r, Buffer.concat([...r.keys.values()].map(keyBytes))), allocation)
    case READ_RESERVATION:
      return allocated(head(r, reservation(r)), allocation)
    case REPORT_CAPABILITIES:
      return allocated(capabilities(c.view.unit.keeper !== undefined, r.persists), allocation)
    case READ_FULL_STATUS:
      return allocated(head(r, fullStatus(r)), allocation)
    default:
      throw invalidField(1, 4)
  }
}

export const REGISTER = 0
export const RESERVE = 1
export const RELEASE = 2
export const CLEAR = 3
export const PREEMPT = 4
export const PREEMPT_AND_ABORT = 5
export const REGISTER_AND_IGNORE = 6
export const REGISTER_AND_MOVE = 7

const LIST_BYTES = 24
const SPEC_I_PT = 0x08
const APTPL = 0x01

export const persistentReserveOut = async (c: Command): Promise<Reply> => {
  const action = c.cdb[1]! & 0x1f
  if (action > REGISTER_AND_MOVE) throw invalidField(1, 4)
  const length = readU16(c.cdb, 7)
  const moves = action === REGISTER_AND_MOVE
  // §6.16.1: "the parameter list length shall be 24, unless" SPEC_I_PT, or REGISTER AND MOVE.
  if (c.data.length < LIST_BYTES || c.data.length < length) throw parameterListLengthError()
  const registers = action === REGISTER || action === REGISTER_AND_IGNORE
  if (registers && (c.data[20]! & SPEC_I_PT) !== 0) throw invalidParameter(20, 3)
  if (!moves && length !== LIST_BYTES) throw parameterListLengthError()
  const { unit } = c.view
  const aptpl = registers ? (c.data[20]! & APTPL) !== 0 : moves ? (c.data[17]! & APTPL) !== 0 : false
  if (aptpl && unit.keeper === undefined) throw invalidParameter(moves ? 17 : 20, 0)
  const outcome = moves ? move(c) : act(c, action)
  if (outcome === "conflict") return conflict
  if (outcome === "invalid-release") throw new CheckCondition(ILLEGAL_REQUEST, ASC.invalidRelease)
  if (outcome === "invalid-parameter") throw invalidParameter(8)
  if (registers || moves) unit.reservations.persists = aptpl
  unit.apply(outcome, c.view)
  await unit.keep()
  return done
}

const act = (c: Command, action: number): Outcome => {
  const r = c.view.unit.reservations
  const { port } = c.nexus
  const list = Buffer.from(c.data.buffer, c.data.byteOffset, c.data.length)
  const key = list.readBigUInt64BE(0)
  const other = list.readBigUInt64BE(8)
  const scope = c.cdb[2]! >> 4
  const type = c.cdb[2]! & 0x0f
  const typed = action === RESERVE || action === RELEASE || action === PREEMPT || action === PREEMPT_AND_ABORT
  if (typed && r.keys.get(port) === key && (scope !== SCOPE_UNIT || !isReservationType(type)))
    throw invalidField(2, scope === SCOPE_UNIT ? 3 : 7)
  switch (action) {
    case REGISTER:
      return r.register(port, key, other, false)
    case REGISTER_AND_IGNORE:
      return r.register(port, key, other, true)
    case RESERVE:
      return r.reserve(port, key, type)
    case RELEASE:
      return r.release(port, key, type)
    case CLEAR:
      return r.clear(port, key)
    default:
      return r.preempt(port, key, other, type, action === PREEMPT_AND_ABORT)
  }
}

const move = (c: Command): Outcome => {
  const list = Buffer.from(c.data.buffer, c.data.byteOffset, c.data.length)
  const idBytes = list.readUInt32BE(20)
  if (list.length !== LIST_BYTES + idBytes) throw parameterListLengthError()
  if (readU16(list, 18) !== 1) throw invalidParameter(18)
  const to = parseTransportId(list.subarray(LIST_BYTES))
  if (to === undefined) throw invalidParameter(24)
  const unregister = (list[17]! & 0x02) !== 0
  return c.view.unit.reservations.move(c.nexus.port, list.readBigUInt64BE(0), to, list.readBigUInt64BE(8), unregister)
}

/** RESERVE(6) of the whole unit; the extent and third-party forms are obsolete and refused. */
export const reserve6 = (c: Command): Reply => {
  const { unit } = c.view
  if ((c.cdb[1]! & 0x1f) !== 0) throw invalidField(1, 4)
  if (unit.reservations.keys.size > 0) return conflict
  unit.reservedBy = c.nexus.port
  unit.refresh()
  return done
}

/** RELEASE(6): of what somebody else holds it releases nothing, and is no error. */
export const release6 = (c: Command): Reply => {
  const { unit } = c.view
  if ((c.cdb[1]! & 0x1f) !== 0) throw invalidField(1, 4)
  if (unit.reservations.keys.size > 0) return conflict
  if (unit.reservedBy === c.nexus.port) unit.reservedBy = undefined
  unit.refresh()
  return done
}
