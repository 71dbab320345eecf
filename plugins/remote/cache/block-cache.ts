/**
 * Where blocks are kept that were fetched once: on disk where there is a folder, else in memory.
 *
 * **Details** `object` names one state of one object (its address, validator and size), so blocks of two states never meet. A cache may forget
 * anything at any time, and answers only bytes that it has verified. Nothing here rejects: a cache that cannot write is a cache that misses.
 */
export interface BlockCache {
  /** Whether `get` would look for it. */
  has(object: string, block: number): boolean
  /**
   * The whole block, in memory that is the caller's to read: `into`, if it is given and as long as the block, or other memory. Undefined at once when it is not
   * there; and later when it is not what was put, and then `into` may have been written to.
   */
  get(object: string, block: number, into?: Uint8Array): Promise<Uint8Array | undefined> | undefined
  /**
   * Part of a block that was judged before, straight into `into[at, at + length)`, as a file is read. Undefined at once where `get` is to be asked; false when it is no longer
   * there, and then `into` may have been written to.
   */
  part?(
    object: string,
    block: number,
    from: number,
    into: Uint8Array,
    at: number,
    length: number,
  ): Promise<boolean> | undefined
  /** Done with `bytes` when it settles. */
  put(object: string, block: number, bytes: Uint8Array): Promise<void>
  /** Nobody will ask for this state again. */
  forget(object: string): void
}
