/** Where a layer's tables are written: a file that is made anew. */
export interface SealTarget {
  write(bytes: Uint8Array, offset: number): Promise<void>
}
