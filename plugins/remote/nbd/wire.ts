/**
 * The parts of the NBD protocol that a read-only client needs (protocol description, "Values").
 *
 *     request, 28 bytes                      simple reply, 16 bytes, then the bytes if error is 0
 *      0  magic 0x25609513                    0  magic 0x67446698
 *      4  flags, u16                          4  error, u32
 *      6  command, u16                        8  cookie, u64
 *      8  cookie, u64
 *     16  offset, u64
 *     24  length, u32
 */
export const REPLY_BYTES = 16
export const CMD_READ = 0
export const CMD_DISC = 2
export const FLAG_CAN_MULTI_CONN = 1 << 8

const REQUEST_MAGIC = 0x25609513
const REPLY_MAGIC = 0x67446698

export const encodeRequest = (command: number, cookie: number, offset: number, length: number): Buffer => {
  const request = Buffer.alloc(28)
  request.writeUInt32BE(REQUEST_MAGIC, 0)
  request.writeUInt16BE(command, 6)
  request.writeBigUInt64BE(BigInt(cookie), 8)
  request.writeBigUInt64BE(BigInt(offset), 16)
  request.writeUInt32BE(length, 24)
  return request
}

export interface Reply {
  readonly error: number
  readonly cookie: number
}

/** Undefined for what is no simple reply; a server sends no other kind unless it is asked for. */
export const decodeReply = (bytes: Buffer): Reply | undefined =>
  bytes.readUInt32BE(0) === REPLY_MAGIC
    ? { error: bytes.readUInt32BE(4), cookie: Number(bytes.readBigUInt64BE(8)) }
    : undefined
