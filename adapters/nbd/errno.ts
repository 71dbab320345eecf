/**
 * The one table from our error codes to NBD errors, in both phases.
 *
 * **Details** Transmission: "Error values" of the protocol description. A write past the end is judged in judge.ts, which knows the command.
 * Handshake: "Option reply types". An error that is not ours is a fault of the server and becomes EIO.
 */
import { type ErrorCode, fail, type ImagelinkError, isImagelinkError } from "../../core/errors.ts"
import { REP_ERR_POLICY, REP_ERR_SHUTDOWN, REP_ERR_UNKNOWN } from "./options.ts"

export const EPERM = 1
export const EIO = 5
export const ENOMEM = 12
export const EINVAL = 22
export const ENOSPC = 28
export const EOVERFLOW = 75
export const ENOTSUP = 95
export const ESHUTDOWN = 108

export const errnoNames: Readonly<Record<number, string>> = {
  [EPERM]: "EPERM",
  [EIO]: "EIO",
  [ENOMEM]: "ENOMEM",
  [EINVAL]: "EINVAL",
  [ENOSPC]: "ENOSPC",
  [EOVERFLOW]: "EOVERFLOW",
  [ENOTSUP]: "ENOTSUP",
  [ESHUTDOWN]: "ESHUTDOWN",
}

const errnos: Partial<Record<ErrorCode, number>> = {
  READ_ONLY: EPERM,
  EXPORT_DENIED: EPERM,
  NO_SPACE: ENOSPC,
  OUT_OF_RANGE: EINVAL,
  NOT_SUPPORTED: ENOTSUP,
  CLOSED: ESHUTDOWN,
  CANCELLED: ESHUTDOWN,
  OVERLAY_RETIRED: ESHUTDOWN,
}
export const errnoOf = (e: ImagelinkError): number => errnos[e.code] ?? EIO

const refusals: Partial<Record<ErrorCode, number>> = {
  EXPORT_DENIED: REP_ERR_POLICY,
  IMAGE_CHANGED: REP_ERR_POLICY,
  IMAGE_ACCESS_DENIED: REP_ERR_POLICY,
  OVERLAY_RETIRED: REP_ERR_POLICY,
  CLOSED: REP_ERR_SHUTDOWN,
  CANCELLED: REP_ERR_SHUTDOWN,
}
export const refusalOf = (e: ImagelinkError): number => refusals[e.code] ?? REP_ERR_UNKNOWN

/** Text for a person at the other end: what happened, why, and what to do. */
export const textOf = (e: ImagelinkError): string => `${e.message}: ${e.reason}; ${e.fix}`

/** Any throwable as one of ours. */
export const ours = (e: unknown): ImagelinkError =>
  isImagelinkError(e) ? e : fail("IO_ERROR", { why: e instanceof Error ? e.message : String(e) }, { underlying: e })
