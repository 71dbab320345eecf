/**
 * The one table from our error codes to sense data.
 *
 * | code                                     | sense key       | additional sense                                |
 * | ---------------------------------------- | --------------- | ----------------------------------------------- |
 * | READ_ONLY                                | DATA PROTECT    | 27h/00h write protected                         |
 * | NO_SPACE                                 | DATA PROTECT    | 27h/07h space allocation failed                 |
 * | MEDIUM_ERROR, CRC_MISMATCH               | MEDIUM ERROR    | 11h/00h unrecovered read error, with the LBA    |
 * | OUT_OF_RANGE                             | ILLEGAL REQUEST | 21h/00h LBA out of range                        |
 * | NOT_SUPPORTED                            | ILLEGAL REQUEST | 20h/00h                                         |
 * | CLOSED, OVERLAY_RETIRED, CANCELLED       | NOT READY       | 04h/00h: the disk is going away                 |
 * | IMAGE_FILE_NOT_FOUND                     | NOT READY       | 3Ah/00h medium not present                      |
 * | other codes of opening a disk            | NOT READY       | 04h/03h manual intervention required            |
 * | anything else                            | HARDWARE ERROR  | 44h/00h internal target failure                 |
 *
 * **Details** The information field is the first logical block concerned (SBC-3 §4.18.1), where the error names one.
 */
import { type ErrorCode, type ImagelinkError, isImagelinkError } from "../../core/errors.ts"
import {
  ASC,
  CheckCondition,
  DATA_PROTECT,
  HARDWARE_ERROR,
  ILLEGAL_REQUEST,
  MEDIUM_ERROR,
  NOT_READY,
  type Sense,
} from "./sense.ts"

type Pair = readonly [key: number, code: number]
const manual: Pair = [NOT_READY, ASC.manualInterventionRequired]
const leaving: Pair = [NOT_READY, ASC.unitNotAccessible]

const table: Partial<Record<ErrorCode, Pair>> = {
  READ_ONLY: [DATA_PROTECT, ASC.writeProtected],
  NO_SPACE: [DATA_PROTECT, ASC.spaceAllocationFailed],
  MEDIUM_ERROR: [MEDIUM_ERROR, ASC.unrecoveredReadError],
  CRC_MISMATCH: [MEDIUM_ERROR, ASC.unrecoveredReadError],
  OUT_OF_RANGE: [ILLEGAL_REQUEST, ASC.lbaOutOfRange],
  NOT_SUPPORTED: [ILLEGAL_REQUEST, ASC.invalidOpcode],
  CLOSED: leaving,
  OVERLAY_RETIRED: leaving,
  CANCELLED: leaving,
  IMAGE_FILE_NOT_FOUND: [NOT_READY, ASC.mediumNotPresent],
  IMAGE_ACCESS_DENIED: manual,
  IMAGE_CHANGED: manual,
  IMAGE_DAMAGED: manual,
  OVERLAY_LOST: manual,
  OVERLAY_DAMAGED: manual,
  OVERLAY_BASE_MISMATCH: manual,
}

const other: Pair = [HARDWARE_ERROR, ASC.internalFailure]

/** What an initiator is told of any throwable. */
export const senseOf = (thrown: unknown, logicalBlockBytes: number): Sense => {
  if (thrown instanceof CheckCondition) return thrown.sense
  const [key, code] = isImagelinkError(thrown) ? (table[thrown.code] ?? other) : other
  const offset = isImagelinkError(thrown) ? thrown.offset : undefined
  return { key, code, information: offset === undefined ? undefined : Math.floor(offset / logicalBlockBytes) }
}

/** Of a disk that could not be opened: a unit that is there and not ready. */
export const notReadySense = (e: ImagelinkError): Sense => {
  const [key, code] = table[e.code] ?? manual
  return key === NOT_READY ? { key, code } : { key: NOT_READY, code: ASC.manualInterventionRequired }
}
