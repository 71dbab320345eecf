/**
 * The closed list of errors an operator meets: a stable code, what happened, the cause, and the fix.
 *
 * The code is API: scripts, tests and the protocol tables (NBD errno, SCSI sense, HTTP status) key on it. The words are
 * not, but they are the same in the command line, over the API and in the server's log, because they come from here.
 * Exit codes: 1 refused or failed, 2 usage, 3 store damaged, 4 server not reachable.
 *
 * **Gotchas** Programmer mistakes are not in this list: they are thrown as `AssertionError` and stay on in production.
 */
import { apiErrors } from "./errors/api.ts"
import { clientErrors } from "./errors/clients.ts"
import { diskErrors } from "./errors/disks.ts"
import { doctorErrors } from "./errors/doctor.ts"
import type { Entry, Range } from "./errors/entry.ts"
import { imageErrors } from "./errors/images.ts"
import { pluginErrors } from "./errors/plugins.ts"
import { proofErrors } from "./errors/proofs.ts"
import { serverErrors } from "./errors/server.ts"

export const errors = {
  ...imageErrors,
  ...clientErrors,
  ...diskErrors,
  ...pluginErrors,
  ...apiErrors,
  ...serverErrors,
  ...proofErrors,
  ...doctorErrors,
} as const

export type ErrorCode = keyof typeof errors
type Params<C extends ErrorCode> = Parameters<(typeof errors)[C]["message"]>[0]

export interface ErrorJson {
  readonly code: ErrorCode
  readonly message: string
  readonly cause: string
  readonly fix: string
  readonly details?: ReadonlyArray<string>
}

/** An error of the closed list. `reason` and `fix` are sentences for the operator; `cause` is the underlying error, if any. */
export class ImagelinkError extends Error {
  override readonly name = "ImagelinkError"
  readonly code: ErrorCode
  readonly reason: string
  readonly fix: string
  readonly exit: 1 | 2 | 3 | 4
  /** One line per bad thing, where several are reported at once (an import's bad rows). */
  readonly details: ReadonlyArray<string>
  /** For block requests: the first byte concerned, if it is narrower than the request. */
  readonly offset: number | undefined

  constructor(json: ErrorJson, options: { underlying?: unknown; offset?: number | undefined } = {}) {
    super(json.message, options.underlying === undefined ? {} : { cause: options.underlying })
    this.code = json.code
    this.reason = json.cause
    this.fix = json.fix
    this.exit = errors[json.code].exit
    this.details = json.details ?? []
    this.offset = options.offset
  }

  toJSON(): ErrorJson {
    const json = { code: this.code, message: this.message, cause: this.reason, fix: this.fix }
    return this.details.length === 0 ? json : { ...json, details: this.details }
  }
}

/** Makes the error of a code. `details` and `underlying` are optional companions. */
export const fail = <C extends ErrorCode>(
  code: C,
  params: Params<C>,
  more: { underlying?: unknown; details?: ReadonlyArray<string> } = {},
): ImagelinkError => {
  const e = errors[code] as unknown as Entry<Params<C>>
  const json = { code, message: e.message(params), cause: e.cause(params), fix: e.fix(params) }
  return new ImagelinkError(more.details ? { ...json, details: more.details } : json, {
    underlying: more.underlying,
    offset: (params as Range).offset,
  })
}

export const isImagelinkError = (e: unknown): e is ImagelinkError => e instanceof ImagelinkError
