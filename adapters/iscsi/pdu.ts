/**
 * iSCSI PDUs: layout, constants, and the encoders that write into the output slab (RFC 7143 §11).
 *
 *      0        1        2        3
 *     +--------+--------+--------+--------+
 *     |.I opcode| opcode-specific         |  0
 *     |AHS len | data segment length      |  4
 *     | LUN, or opcode-specific           |  8
 *     |                                   | 12
 *     | Initiator Task Tag                | 16
 *     | opcode-specific, 28 bytes         | 20 … 47
 *     +-----------------------------------+
 *     | AHS (4-byte words)                |
 *     | header digest, if agreed          |
 *     | data segment, padded to 4         |
 *     | data digest, if agreed            |
 *
 * **Details** Nothing here allocates: an encoder fills 48 bytes of a buffer the caller owns, fields not named being zero. Digests are added by
 * framing.ts, sequence numbers by whoever counts them.
 */
import { writeU16, writeU32 } from "../../core/bytes.ts"

export const BHS_BYTES = 48
export const DIGEST_BYTES = 4
/** §11.2.1.3: "Reserved" tag of a PDU that belongs to no task. */
export const NO_TAG = 0xffff_ffff

/** Initiator opcodes (§11.2.1.2). */
export const NOP_OUT = 0x00
export const SCSI_COMMAND = 0x01
export const TASK_MANAGEMENT = 0x02
export const LOGIN = 0x03
export const TEXT = 0x04
export const DATA_OUT = 0x05
export const LOGOUT = 0x06
export const SNACK = 0x10

/** Target opcodes (§11.2.1.2). */
export const NOP_IN = 0x20
export const SCSI_RESPONSE = 0x21
export const TASK_MANAGEMENT_RESPONSE = 0x22
export const LOGIN_RESPONSE = 0x23
export const TEXT_RESPONSE = 0x24
export const DATA_IN = 0x25
export const LOGOUT_RESPONSE = 0x26
export const R2T = 0x31
export const ASYNC_MESSAGE = 0x32
export const REJECT = 0x3f

export const IMMEDIATE = 0x40
export const OPCODE_MASK = 0x3f
/** Byte 1 of many PDUs. */
export const FINAL = 0x80
/** Text and login: more text follows. */
export const CONTINUE = 0x40

/** SCSI Command, byte 1 (§11.3.1). */
export const COMMAND_READ = 0x40
export const COMMAND_WRITE = 0x20
export const ATTRIBUTE_MASK = 0x07
export const ATTRIBUTE_SIMPLE = 1
export const ATTRIBUTE_ORDERED = 2
export const ATTRIBUTE_HEAD_OF_QUEUE = 3

/** Data-In and SCSI Response, byte 1 (§11.7.2, §11.4.1). */
export const RESIDUAL_OVERFLOW = 0x04
export const RESIDUAL_UNDERFLOW = 0x02
export const HAS_STATUS = 0x01

/** Reject reasons (§11.17.1). */
export const REJECT_DATA_DIGEST = 0x02
export const REJECT_SNACK = 0x03
export const REJECT_PROTOCOL_ERROR = 0x04
export const REJECT_NOT_SUPPORTED = 0x05
export const REJECT_IMMEDIATE = 0x06
export const REJECT_IN_PROGRESS = 0x07
export const REJECT_INVALID_FIELD = 0x09
export const REJECT_LONG_OPERATION = 0x0a

/** Task management functions (§11.5.1); from QUERY TASK on, RFC 7144 §4.1. */
export const TMF_ABORT_TASK = 1
export const TMF_ABORT_TASK_SET = 2
export const TMF_CLEAR_ACA = 3
export const TMF_CLEAR_TASK_SET = 4
export const TMF_LOGICAL_UNIT_RESET = 5
export const TMF_TARGET_WARM_RESET = 6
export const TMF_TARGET_COLD_RESET = 7
export const TMF_TASK_REASSIGN = 8
export const TMF_QUERY_TASK = 9
export const TMF_QUERY_TASK_SET = 10
export const TMF_I_T_NEXUS_RESET = 11
export const TMF_QUERY_ASYNC_EVENT = 12

/** Task management responses (§11.6.1, RFC 7144 §4.2). */
export const TMR_COMPLETE = 0
export const TMR_NO_TASK = 1
export const TMR_NO_LUN = 2
export const TMR_NO_REASSIGN = 4
export const TMR_NOT_SUPPORTED = 5
export const TMR_SUCCEEDED = 7
export const TMR_REJECTED = 255

/** Asynchronous events (§11.9.1). */
export const ASYNC_SCSI = 0
export const ASYNC_LOGOUT = 1
export const ASYNC_DROP_CONNECTION = 2
export const ASYNC_DROP_ALL = 3

/** Logout reasons and responses (§11.14.1, §11.15.1). */
export const LOGOUT_CLOSE_SESSION = 0
export const LOGOUT_CLOSE_CONNECTION = 1
export const LOGOUT_RECOVERY = 2
export const LOGOUT_DONE = 0
export const LOGOUT_CID_NOT_FOUND = 1
export const LOGOUT_NO_RECOVERY = 2

export const dataSegmentBytes = (b: Uint8Array, at: number): number =>
  (b[at + 5]! << 16) | (b[at + 6]! << 8) | b[at + 7]!
/** TotalAHSLength is in 4-byte words (§11.2.1.5). */
export const ahsBytes = (b: Uint8Array, at: number): number => b[at + 4]! * 4
/** §11.2.3: "integer number of 4-byte words". */
export const padded = (bytes: number): number => (bytes + 3) & ~3

export const putDataSegmentBytes = (b: Uint8Array, at: number, bytes: number): void => {
  b[at + 5] = bytes >>> 16
  b[at + 6] = bytes >>> 8
  b[at + 7] = bytes
}

/** An all-zero header but for opcode, byte 1 and tag. */
export const beginHeader = (b: Uint8Array, at: number, opcode: number, flags: number, itt: number): void => {
  b.fill(0, at, at + BHS_BYTES)
  b[at] = opcode
  b[at + 1] = flags
  writeU32(b, at + 16, itt)
}

/** StatSN, ExpCmdSN, MaxCmdSN: at the same place in every target PDU. */
export const putNumbers = (b: Uint8Array, at: number, statSN: number, expCmdSN: number, maxCmdSN: number): void => {
  writeU32(b, at + 24, statSN)
  writeU32(b, at + 28, expCmdSN)
  writeU32(b, at + 32, maxCmdSN)
}

/** Serial number arithmetic (RFC 1982, §4.2.2.1): is `a` before `b`? */
export const before = (a: number, b: number): boolean => ((a - b) | 0) < 0
export const next = (a: number): number => (a + 1) >>> 0

/** Login responses are answered before a session counts; so this one is encoded whole (§11.13). */
export interface LoginResponseFields {
  readonly flags: number
  readonly isid: Uint8Array
  readonly tsih: number
  readonly itt: number
  readonly statSN: number
  readonly expCmdSN: number
  readonly maxCmdSN: number
  readonly status: number
  readonly text: Uint8Array
}

/** Status classes and details of a login (§11.13.5), as one number. */
export const LOGIN_SUCCESS = 0x0000
export const LOGIN_MOVED = 0x0101
export const LOGIN_MOVED_FOR_GOOD = 0x0102
export const LOGIN_INITIATOR_ERROR = 0x0200
export const LOGIN_AUTHENTICATION = 0x0201
export const LOGIN_AUTHORIZATION = 0x0202
export const LOGIN_NOT_FOUND = 0x0203
export const LOGIN_TARGET_REMOVED = 0x0204
export const LOGIN_VERSION = 0x0205
export const LOGIN_TOO_MANY_CONNECTIONS = 0x0206
export const LOGIN_MISSING_PARAMETER = 0x0207
export const LOGIN_NO_SESSION_TYPE = 0x0209
export const LOGIN_NO_SESSION = 0x020a
export const LOGIN_INVALID = 0x020b
export const LOGIN_TARGET_ERROR = 0x0300
export const LOGIN_UNAVAILABLE = 0x0301
export const LOGIN_OUT_OF_RESOURCES = 0x0302

export const encodeLoginResponse = (f: LoginResponseFields): Buffer => {
  const b = Buffer.alloc(BHS_BYTES + padded(f.text.length))
  beginHeader(b, 0, LOGIN_RESPONSE, f.flags, f.itt)
  putDataSegmentBytes(b, 0, f.text.length)
  b.set(f.isid, 8)
  writeU16(b, 14, f.tsih)
  putNumbers(b, 0, f.statSN, f.expCmdSN, f.maxCmdSN)
  writeU16(b, 36, f.status)
  b.set(f.text, BHS_BYTES)
  return b
}
