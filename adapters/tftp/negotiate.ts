/**
 * What a server answers to the options of a read request (RFC 2347): each it takes, with a value it keeps to.
 *
 * | option | asked | answered |
 * |---|---|---|
 * | blksize (RFC 2348) | 8 and more | the same, or our most |
 * | tsize (RFC 2349) | a number, 0 as a rule | the file's size |
 * | timeout (RFC 2349) | 1 to 255 seconds | the same; no other value may be answered |
 * | windowsize (RFC 7440) | 1 to 65535 blocks | the same, or what fits our most |
 *
 * **Details** An option that is not known, or whose value is out of its range, is left out of the answer, which refuses it: the client goes on
 * without it or ends the transfer. An answer is never larger than what was asked.
 */
import type { TftpOption } from "./packet.ts"

/** RFC 1350 §2: blocks of 512 bytes, one at a time. */
export const BLKSIZE_DEFAULT = 512
const BLKSIZE_MIN = 8
const TIMEOUT_SECONDS_MAX = 255
const WINDOWSIZE_MAX = 65_535

export interface NegotiationLimits {
  readonly blksizeMax: number
  readonly windowBlocksMax: number
  /** All blocks of a window together; one block fits in any case. */
  readonly windowBytesMax: number
}

export interface Agreed {
  readonly blksize: number
  readonly windowsize: number
  /** Undefined where the client left it to us. */
  readonly timeoutSeconds: number | undefined
  /** What an OACK says, in the order it was asked. Empty: there is no OACK. */
  readonly answers: ReadonlyArray<TftpOption>
}

const numberIn = (value: string | undefined, min: number, max: number): number | undefined => {
  if (value === undefined || !/^\d{1,15}$/.test(value)) return undefined
  const n = Number(value)
  return n < min || n > max ? undefined : n
}

export const negotiate = (options: ReadonlyArray<TftpOption>, sizeBytes: number, bounds: NegotiationLimits): Agreed => {
  const asked = new Map(options)
  const blksizeAsked = numberIn(asked.get("blksize"), BLKSIZE_MIN, Number.MAX_SAFE_INTEGER)
  const blksize = blksizeAsked === undefined ? BLKSIZE_DEFAULT : Math.min(blksizeAsked, bounds.blksizeMax)
  const windowAsked = numberIn(asked.get("windowsize"), 1, WINDOWSIZE_MAX)
  const blocksMax = Math.max(1, Math.min(bounds.windowBlocksMax, Math.floor(bounds.windowBytesMax / blksize)))
  const windowsize = windowAsked === undefined ? 1 : Math.min(windowAsked, blocksMax)
  const timeoutSeconds = numberIn(asked.get("timeout"), 1, TIMEOUT_SECONDS_MAX)
  const tsize = numberIn(asked.get("tsize"), 0, Number.MAX_SAFE_INTEGER)
  const answer: Readonly<Record<string, number | undefined>> = {
    blksize: blksizeAsked === undefined ? undefined : blksize,
    windowsize: windowAsked === undefined ? undefined : windowsize,
    timeout: timeoutSeconds,
    tsize: tsize === undefined ? undefined : sizeBytes,
  }
  const answers = options.flatMap(([name]): ReadonlyArray<TftpOption> => {
    const value = Object.hasOwn(answer, name) ? answer[name] : undefined
    return value === undefined ? [] : [[name, String(value)]]
  })
  return { blksize, windowsize, timeoutSeconds, answers }
}
