/**
 * What a session needs of a connection, so that it can be run without one.
 *
 * connection.ts puts a TCP socket behind it; specs put arrays behind it.
 */
export interface Wire {
  /**
   * Sends. True: the bytes have left and the buffer may be used again. False: the wire still reads from the buffer, until
   * `queuedBytes()` is 0.
   */
  send(bytes: Uint8Array): boolean
  /** Bytes sent that have not left yet. */
  queuedBytes(): number
}
