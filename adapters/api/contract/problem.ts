/** How an error of the closed list looks over HTTP: a status, and a body of `application/problem+json` (RFC 9457) with code, cause and fix. */
import type { ErrorCode, ErrorJson } from "../../../core/errors.ts"

export const PROBLEM_TYPE = "application/problem+json"

export interface Problem extends ErrorJson {
  /** RFC 9457 §3.1.1: a page about it; here the name of its entry in core/ERRORS.md. */
  readonly type: string
  readonly title: string
  readonly status: number
  readonly detail: string
}

const byCode: Partial<Record<ErrorCode, number>> = {
  TOKEN_REFUSED: 401,
  PERMISSION_DENIED: 403,
  SCRIPT_DENIED: 403,
  EXPORT_DENIED: 403,
  REQUEST_TOO_LARGE: 413,
  TOO_MANY_REFUSALS: 429,
  REQUEST_INVALID: 400,
  USAGE: 400,
  COMMAND_INVALID: 400,
  CONFIG_INVALID: 400,
  LOG_CONFLICT: 412,
  CANCELLED: 409,
  CLOSED: 503,
  STORE_READ_ONLY: 503,
  STORE_DAMAGED: 503,
  REMOTE_UNREACHABLE: 503,
  NO_SPACE: 507,
  IO_ERROR: 500,
  MEDIUM_ERROR: 500,
  INTERNAL_ERROR: 500,
  PLUGIN_BROKE_CONTRACT: 500,
}

/** 404 for what is not there, 422 for what cannot be, 409 for what cannot be now. */
export const statusOf = (code: ErrorCode): number => {
  const known = byCode[code]
  if (known !== undefined) return known
  if (code.endsWith("_NOT_FOUND")) return 404
  if (/_(INVALID|REFUSED|REJECTED|UNSUPPORTED|TOO_LARGE|NOT_A_DISK|SIZE_ODD)$/.test(code)) return 422
  return 409
}

export const problemOf = (error: ErrorJson): Problem => {
  const status = statusOf(error.code)
  return { type: `urn:imagelink:error:${error.code}`, title: error.message, status, detail: error.cause, ...error }
}
