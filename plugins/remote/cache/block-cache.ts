/**
 * Where blocks are kept that were fetched once: on disk where there is a folder, else in memory.
 *
 * **Details** `object` names one state of one object (its address, validator and size), so blocks of two states never meet. A cache may forget
 * anything at any time, and answers only bytes that it has verified. Nothing here rejects: a cache that cannot write is a cache that misses.
 */
export interface BlockCache {
  /** Whether `read` would look for it. */
  has(object: string, block: number): boolean
  /**
   * Fills `into[at, at + length)` with the object's bytes from `offset` on. Undefined at once where not all of its blocks are there; false later
   * when one is not what was put, and then `into` may have been written to.
   */
  read(object: string, offset: number, into: Uint8Array, at: number, length: number): Promise<boolean> | undefined
  /** Done with `bytes` when it settles. */
  put(object: string, block: number, bytes: Uint8Array): Promise<void>
  /** Nobody will ask for this state again. */
  forget(object: string): void
}
