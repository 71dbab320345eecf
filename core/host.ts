/**
 * What the operating system offers and Node lacks, as one injected port whose every call is optional.
 *
 * **Details** A missing method means "not known here", and every caller has an honest fallback: without `bootId` an
 * overlay trusts only its durable map, without `punchHole` trimmed space is given back only when the overlay goes.
 */
export interface Host {
  /** Identity of the running kernel instance; equal before and after a process dies, different after a power loss. */
  readonly bootId?: () => string | undefined
  /** Name of the user this process runs as, for refusals. */
  readonly userName?: () => string
  /** Bytes that can be taken without swapping. */
  readonly memoryAvailableBytes?: () => number | undefined
  /** Gives `[offset, offset + length)` of an open file back to the file system; false when it cannot. */
  readonly punchHole?: (fd: number, offset: number, length: number) => boolean
  /** The next run of data at or after `offset` in an open file, or undefined past the last one. */
  readonly nextData?: (fd: number, offset: number) => { readonly offset: number; readonly end: number } | undefined
  /** A folder of this server for what can be fetched again at any time. */
  readonly cacheFolder?: () => string | undefined
}
