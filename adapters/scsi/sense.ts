/**
 * Status and sense data: why a command was not done (SAM-5 §5.3, SPC-4 §4.5).
 *
 *     fixed (70h)                                descriptor (72h)
 *      0  VALID|70                                0  72
 *      2  key          3-6 information            1  key   2 ASC   3 ASCQ   7 length
 *      7  10           12 ASC  13 ASCQ            8  information descriptor 00 0a 80 00 + 8 bytes
 *     15-17 SKSV, field pointer                      sense key specific     02 06 00 00 + 3 bytes + 0
 *
 * **Details** `information` is the LBA of an error in a range, or an offset for a MISCOMPARE. A fixed format has room for 32 bits of it; what is
 * larger is left out there (§4.5.3: VALID zero), and told whole in the descriptor format.
 */
import { writeU16, writeU32, writeU64 } from "../../core/bytes.ts"

export const GOOD = 0x00
export const CHECK_CONDITION = 0x02
export const CONDITION_MET = 0x04
export const BUSY = 0x08
export const RESERVATION_CONFLICT = 0x18
export const TASK_SET_FULL = 0x28
export const TASK_ABORTED = 0x40

export const NO_SENSE = 0x0
export const NOT_READY = 0x2
export const MEDIUM_ERROR = 0x3
export const HARDWARE_ERROR = 0x4
export const ILLEGAL_REQUEST = 0x5
export const UNIT_ATTENTION = 0x6
export const DATA_PROTECT = 0x7
export const COPY_ABORTED = 0xa
export const ABORTED_COMMAND = 0xb
export const MISCOMPARE = 0xe

/** Additional sense codes and qualifiers, ASC << 8 | ASCQ (SPC-4 annex F). */
export const ASC = {
  none: 0x0000,
  becomingReady: 0x0401,
  initializingCommandRequired: 0x0402,
  manualInterventionRequired: 0x0403,
  unitNotAccessible: 0x0400,
  invalidFieldInInformationUnit: 0x0e03,
  unrecoveredReadError: 0x1100,
  writeError: 0x0c00,
  parameterListLength: 0x1a00,
  miscompareDuringVerify: 0x1d00,
  invalidOpcode: 0x2000,
  lbaOutOfRange: 0x2100,
  invalidFieldInCdb: 0x2400,
  unitNotSupported: 0x2500,
  invalidFieldInParameters: 0x2600,
  invalidRelease: 0x2604,
  copyTargetNotReachable: 0x0d02,
  copyTooManyTargets: 0x2606,
  copyUnsupportedTarget: 0x2607,
  copyTooManySegments: 0x2608,
  copyUnsupportedSegment: 0x2609,
  writeProtected: 0x2700,
  spaceAllocationFailed: 0x2707,
  mediumMayHaveChanged: 0x2800,
  powerOnOrReset: 0x2900,
  busDeviceReset: 0x2903,
  nexusLoss: 0x2907,
  modeParametersChanged: 0x2a01,
  reservationsPreempted: 0x2a03,
  reservationsReleased: 0x2a04,
  registrationsPreempted: 0x2a05,
  capacityChanged: 0x2a09,
  commandsCleared: 0x2f00,
  savingNotSupported: 0x3900,
  mediumNotPresent: 0x3a00,
  reportedLunsChanged: 0x3f0e,
  invalidMessage: 0x4900,
  internalFailure: 0x4400,
  protocolServiceCrcError: 0x4705,
  insufficientRegistrations: 0x5504,
} as const

/** Where the offending field is: its first byte, and its highest bit when it is less than a byte. */
export interface FieldPointer {
  readonly inCdb: boolean
  readonly byte: number
  readonly bit?: number
}

export interface Sense {
  readonly key: number
  readonly code: number
  readonly information?: number | undefined
  readonly field?: FieldPointer | undefined
}

/** A command that ends with CHECK CONDITION. Thrown by whatever carries it out. */
export class CheckCondition extends Error {
  override readonly name = "CheckCondition"
  readonly sense: Sense
  constructor(key: number, code: number, more: { information?: number | undefined; field?: FieldPointer } = {}) {
    super(`sense ${key.toString(16)}/${code.toString(16)}`)
    this.sense = { key, code, ...more }
  }
}

export const invalidField = (byte: number, bit?: number): CheckCondition =>
  new CheckCondition(ILLEGAL_REQUEST, ASC.invalidFieldInCdb, {
    field: { inCdb: true, byte, ...(bit === undefined ? {} : { bit }) },
  })

export const invalidParameter = (byte: number, bit?: number): CheckCondition =>
  new CheckCondition(ILLEGAL_REQUEST, ASC.invalidFieldInParameters, {
    field: { inCdb: false, byte, ...(bit === undefined ? {} : { bit }) },
  })

export const parameterListLengthError = (): CheckCondition =>
  new CheckCondition(ILLEGAL_REQUEST, ASC.parameterListLength)

/** Sense data in the format the initiator chose (Control mode page, D_SENSE). */
export const encodeSense = (sense: Sense, descriptors: boolean): Buffer =>
  descriptors ? encodeDescriptors(sense) : encodeFixed(sense)

const encodeFixed = ({ key, code, information, field }: Sense): Buffer => {
  const b = Buffer.alloc(18)
  const fits = information !== undefined && information <= 0xffff_ffff
  b[0] = fits ? 0xf0 : 0x70
  b[2] = key
  if (fits) writeU32(b, 3, information)
  b[7] = 10
  writeU16(b, 12, code)
  if (field !== undefined) putField(b, 15, field)
  return b
}

const encodeDescriptors = ({ key, code, information, field }: Sense): Buffer => {
  const b = Buffer.alloc(8 + (information === undefined ? 0 : 12) + (field === undefined ? 0 : 8))
  b[0] = 0x72
  b[1] = key
  writeU16(b, 2, code)
  b[7] = b.length - 8
  let at = 8
  if (information !== undefined) {
    b[at + 1] = 0x0a
    b[at + 2] = 0x80
    writeU64(b, at + 4, information)
    at += 12
  }
  if (field !== undefined) {
    b[at] = 0x02
    b[at + 1] = 0x06
    putField(b, at + 4, field)
  }
  return b
}

/** SPC-4 §4.5.2.4.2: SKSV, C/D, BPV and bit, then the byte. */
const putField = (b: Uint8Array, at: number, { inCdb, byte, bit }: FieldPointer): void => {
  b[at] = 0x80 | (inCdb ? 0x40 : 0) | (bit === undefined ? 0 : 0x08 | bit)
  writeU16(b, at + 1, byte)
}
