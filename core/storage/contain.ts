/**
 * Turns whatever a plugin throws into one of our errors, so that nothing else ever leaves the guard.
 *
 *     thrown                                         becomes
 *     an ImagelinkError that storage may raise       itself (rebuilt, if it was made by another copy of this package)
 *     ENOENT, ENOTDIR                                IMAGE_FILE_NOT_FOUND
 *     EACCES, EPERM                                  IMAGE_ACCESS_DENIED
 *     ENOSPC, EDQUOT, EFBIG                          NO_SPACE
 *     EROFS                                          READ_ONLY
 *     AbortError, ABORT_ERR                          CANCELLED
 *     EIO, anything else, even a string              IO_ERROR, with what it said as the cause
 *
 * **Gotchas** Looking at a thrown value can itself throw (a getter, a proxy). Then the answer is IO_ERROR.
 */
import { type ErrorCode, errors, fail, ImagelinkError } from "../errors.ts"

/** Whose bytes they are, for messages. */
export interface Where {
  /** The plugin's kind or the format's name. */
  readonly kind: string
  /** What an operator calls these bytes: a path, a URL. */
  readonly path: string
  /** The user this process runs as, where known. */
  readonly user?: string
}

/** The request that failed, if it was one. */
export interface Request {
  readonly need: "read" | "write"
  readonly offset?: number
  readonly length?: number
  /** Entries of a folder that it is about. */
  readonly names?: ReadonlyArray<string>
}

/** The codes that storage may raise. Others (STORE_DAMAGED …) would make the wrong part of the program act. */
const raisable: ReadonlySet<ErrorCode> = new Set([
  "IMAGE_FILE_NOT_FOUND",
  "IMAGE_ACCESS_DENIED",
  "IMAGE_NOT_A_DISK",
  "IMAGE_SIZE_ODD",
  "IMAGE_TOO_LARGE",
  "IMAGE_FORMAT_UNSUPPORTED",
  "IMAGE_DAMAGED",
  "IMAGE_DEPENDENCY_REFUSED",
  "IO_ERROR",
  "MEDIUM_ERROR",
  "OUT_OF_RANGE",
  "READ_ONLY",
  "NO_SPACE",
  "NOT_SUPPORTED",
  "CANCELLED",
  "CLOSED",
  "PLUGIN_NOT_FOUND",
  "PLUGIN_INVALID",
  "PLUGIN_CONFIG_INVALID",
  "PLUGIN_BROKE_CONTRACT",
  "REMOTE_UNREACHABLE",
  "REMOTE_CHANGED",
  "REMOTE_REFUSED",
])

const WHY_CHARS_MAX = 300

/** The error that an operator meets for `thrown`. */
export const contain = (thrown: unknown, where: Where, request: Request = { need: "read" }): ImagelinkError => {
  try {
    return ours(thrown) ?? ofNode(thrown, where, request) ?? unknown(thrown, where, request)
  } catch {
    return fail("IO_ERROR", {
      ...range(request),
      what: where.path,
      why: `the plugin ${where.kind} threw something unreadable`,
    })
  }
}

const ours = (thrown: unknown): ImagelinkError | undefined => {
  if (!(thrown instanceof Error) || thrown.name !== "ImagelinkError") return undefined
  const { code, message, reason, fix, details, offset } = thrown as ImagelinkError
  if (!Object.hasOwn(errors, code) || !raisable.has(code)) return undefined
  if (thrown instanceof ImagelinkError) return thrown
  const json = { code, message: String(message), cause: String(reason), fix: String(fix) }
  return new ImagelinkError(
    Array.isArray(details) && details.length > 0 ? { ...json, details: details.map(String) } : json,
    {
      underlying: thrown,
      offset: typeof offset === "number" ? offset : undefined,
    },
  )
}

const ofNode = (thrown: unknown, where: Where, request: Request): ImagelinkError | undefined => {
  if (typeof thrown !== "object" || thrown === null) return undefined
  const { code, name } = thrown as { readonly code?: unknown; readonly name?: unknown }
  const { path } = where
  const underlying = { underlying: thrown }
  if (name === "AbortError" || code === "ABORT_ERR")
    return fail("CANCELLED", { what: `a ${request.need} of ${path}` }, underlying)
  switch (code) {
    case "ENOENT":
    case "ENOTDIR":
      return fail("IMAGE_FILE_NOT_FOUND", { path }, underlying)
    case "EACCES":
    case "EPERM":
      return fail("IMAGE_ACCESS_DENIED", { path, user: where.user ?? "its own user", need: request.need }, underlying)
    case "ENOSPC":
    case "EDQUOT":
    case "EFBIG":
      return fail("NO_SPACE", { ...range(request), what: path }, underlying)
    case "EROFS":
      return fail("READ_ONLY", { ...range(request), what: path }, underlying)
    default:
      return undefined
  }
}

const unknown = (thrown: unknown, where: Where, request: Request): ImagelinkError => {
  const said = thrown instanceof Error ? thrown.message : String(thrown)
  const line = said
    .replace(/[\x00-\x1f\x7f]+/g, " ")
    .trim()
    .slice(0, WHY_CHARS_MAX)
  const why = `the plugin ${where.kind} failed${line === "" ? " and did not say why" : `: ${line}`}`
  return fail("IO_ERROR", { ...range(request), what: where.path, why }, { underlying: thrown })
}

const range = ({ offset, length }: Request) => ({
  ...(offset === undefined ? {} : { offset }),
  ...(length === undefined ? {} : { length }),
})
