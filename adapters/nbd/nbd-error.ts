/** What an NBD client throws: a short name to branch on, and the server's words where it sent some. */
import { errnoNames } from "./errno.ts"
import {
  REP_ERR_INVALID,
  REP_ERR_POLICY,
  REP_ERR_SHUTDOWN,
  REP_ERR_TOO_BIG,
  REP_ERR_UNKNOWN,
  REP_ERR_UNSUP,
} from "./options.ts"

/**
 * `code` is an NBD errno (`EINVAL`, `ESHUTDOWN` …), an option's refusal (`ERR_UNKNOWN`, `ERR_POLICY` …), an error of the system
 * (`ECONNREFUSED` …), or one of ours: `DISCONNECTED`, `PROTOCOL`, `TIMEOUT`.
 */
export class NbdError extends Error {
  override readonly name = "NbdError"
  readonly code: string
  constructor(code: string, message: string, underlying?: unknown) {
    super(message, underlying === undefined ? {} : { cause: underlying })
    this.code = code
  }
}

export const errnoError = (error: number, text: string): NbdError => {
  const name = errnoNames[error] ?? `errno ${error}`
  return new NbdError(name, text === "" ? name : `${name}: ${text}`)
}

const refusalNames: Readonly<Record<number, string>> = {
  [REP_ERR_UNSUP]: "ERR_UNSUP",
  [REP_ERR_POLICY]: "ERR_POLICY",
  [REP_ERR_INVALID]: "ERR_INVALID",
  [REP_ERR_UNKNOWN]: "ERR_UNKNOWN",
  [REP_ERR_SHUTDOWN]: "ERR_SHUTDOWN",
  [REP_ERR_TOO_BIG]: "ERR_TOO_BIG",
}

export const refusalError = (type: number, text: string): NbdError => {
  const name = refusalNames[type] ?? `reply 0x${type.toString(16)}`
  return new NbdError(name, text === "" ? name : text)
}
