/**
 * Judges a request before anything is done for it: zero, or the NBD error it earns.
 *
 * Everything below a front end may assume that a request lies inside the disk, on its logical blocks, with a length above zero
 * (core/block/device.ts); here is where that becomes true. "Request types" and "Error values" of the protocol description say which error.
 *
 * **Details** A length of zero is not an error, except for BLOCK_STATUS, which must describe at least one byte.
 */
import { EINVAL, ENOSPC, ENOTSUP, EOVERFLOW, EPERM } from "./errno.ts"
import {
  CMD_BLOCK_STATUS,
  CMD_CACHE,
  CMD_FLAG_DF,
  CMD_FLAG_FAST_ZERO,
  CMD_FLAG_FUA,
  CMD_FLAG_NO_HOLE,
  CMD_FLAG_REQ_ONE,
  CMD_FLUSH,
  CMD_READ,
  CMD_TRIM,
  CMD_WRITE,
  CMD_WRITE_ZEROES,
  type Request,
} from "./transmission.ts"

/** What was agreed for a connection. */
export interface Terms {
  readonly sizeBytes: number
  readonly minimumBytes: number
  readonly payloadBytesMax: number
  readonly writable: boolean
  readonly structured: boolean
  /** base:allocation was selected for this export. */
  readonly allocation: boolean
}

/** FUA is valid with every command ("Command flags"); the others only where they are documented. */
const flagsOf = (type: number, structured: boolean): number => {
  switch (type) {
    case CMD_READ:
      return structured ? CMD_FLAG_FUA | CMD_FLAG_DF : CMD_FLAG_FUA
    case CMD_WRITE_ZEROES:
      return CMD_FLAG_FUA | CMD_FLAG_NO_HOLE | CMD_FLAG_FAST_ZERO
    case CMD_BLOCK_STATUS:
      return CMD_FLAG_FUA | CMD_FLAG_REQ_ONE
    default:
      return CMD_FLAG_FUA
  }
}

export const judge = (r: Request, terms: Terms): number => {
  const { type, length } = r
  if (type > CMD_BLOCK_STATUS) return EINVAL
  if ((r.flags & ~flagsOf(type, terms.structured)) !== 0) return EINVAL
  if (type === CMD_FLUSH) return r.offset === 0 && length === 0 ? 0 : EINVAL
  const writes = type === CMD_WRITE || type === CMD_TRIM || type === CMD_WRITE_ZEROES
  if (writes && !terms.writable) return EPERM
  if (type === CMD_BLOCK_STATUS && (!terms.allocation || length === 0)) return EINVAL
  if (type === CMD_WRITE && length > terms.payloadBytesMax) return EINVAL
  if (r.offset + length > terms.sizeBytes) return type === CMD_WRITE || type === CMD_WRITE_ZEROES ? ENOSPC : EINVAL
  if (type === CMD_READ && length > terms.payloadBytesMax) return terms.structured ? EOVERFLOW : EINVAL
  // A hint may have any alignment: it is rounded where it is carried out.
  if (type === CMD_CACHE || terms.minimumBytes === 1) return 0
  return r.offset % terms.minimumBytes === 0 && length % terms.minimumBytes === 0 ? 0 : EINVAL
}

/** ENOTSUP is reserved for a fast zero that cannot be fast ("Error values"); anything else unsupported is EINVAL. */
export const allowed = (error: number, r: Request): number =>
  error === ENOTSUP && (r.type !== CMD_WRITE_ZEROES || (r.flags & CMD_FLAG_FAST_ZERO) === 0) ? EINVAL : error
