/**
 * Opens one export by name: fixed newstyle negotiation, `NBD_OPT_GO`, and nothing else.
 *
 *     server  "NBDMAGIC" "IHAVEOPT" handshake flags u16
 *     client  client flags u32
 *     client  "IHAVEOPT" option u32 │ length u32 │ name length u32, name, 1, NBD_INFO_BLOCK_SIZE
 *     server  0x3e889045565a9 │ option u32 │ reply u32 │ length u32 │ …   NBD_REP_INFO …, then NBD_REP_ACK
 *
 * **Details** No structured replies are asked for: this client reads and nothing else, and a simple reply carries that. A server that lacks NBD_OPT_GO (before 2016) is refused.
 */
import type { Socket } from "node:net"
import { fail, limits } from "imagelink/plugin"
import { Transient } from "../source.ts"
import type { Incoming } from "./incoming.ts"

export interface Agreed {
  readonly sizeBytes: number
  readonly flags: number
  /** Offsets and lengths are multiples of it. */
  readonly minimumBytes: number
  /** Of one read. */
  readonly maximumBytes: number
}

const NBDMAGIC = 0x4e42444d41474943n
const IHAVEOPT = 0x49484156454f5054n
const REPLY_MAGIC = 0x0003e889045565a9n
const FLAG_FIXED_NEWSTYLE = 1
const FLAG_NO_ZEROES = 2
const OPT_GO = 7
const REP_ACK = 1
const REP_INFO = 3
const INFO_EXPORT = 0
const INFO_BLOCK_SIZE = 3
const REP_ERROR = 0x8000_0000
const OPTION_REPLY_BYTES_MAX = 64 * 1024
const OPTION_REPLIES_MAX = 64
/** What a server that says nothing of it takes ("Block size constraints"). */
const SILENT_MAXIMUM = 32 * 1024 * 1024

/** @throws Transient IMAGE_FILE_NOT_FOUND REMOTE_REFUSED */
export const negotiate = async (socket: Socket, incoming: Incoming, name: string, url: string): Promise<Agreed> => {
  const refused = (why: string, denied = false) => fail("REMOTE_REFUSED", { url, why, denied })
  const greeting = await incoming.take(18)
  if (greeting.readBigUInt64BE(0) !== NBDMAGIC || greeting.readBigUInt64BE(8) !== IHAVEOPT)
    throw refused("what answers there is no NBD server of the newstyle protocol")
  const flags = greeting.readUInt16BE(16)
  if ((flags & FLAG_FIXED_NEWSTYLE) === 0) throw refused("its server speaks an NBD protocol older than fixed newstyle")
  socket.write(encodeGo(flags & (FLAG_FIXED_NEWSTYLE | FLAG_NO_ZEROES), name))
  let exported: { readonly sizeBytes: number; readonly flags: number } | undefined
  let sizes = { minimumBytes: 1, maximumBytes: SILENT_MAXIMUM }
  for (let replies = 0; replies < OPTION_REPLIES_MAX; replies++) {
    const { type, data } = await optionReply(incoming, refused)
    if (type === REP_ACK) {
      if (exported === undefined) throw refused("its server does not tell its size")
      return { ...exported, ...sizes }
    }
    if (type >= REP_ERROR) throw refusalOf(type, data, url)
    if (type !== REP_INFO || data.length < 2) continue
    const info = data.readUInt16BE(0)
    if (info === INFO_EXPORT && data.length === 12) exported = exportOf(data, refused)
    if (info === INFO_BLOCK_SIZE && data.length === 14) sizes = blockSizesOf(data, refused)
  }
  throw refused("its server does not come to an end of its answer")
}

const encodeGo = (clientFlags: number, name: string): Buffer => {
  const bytes = Buffer.from(name)
  const message = Buffer.alloc(4 + 16 + 4 + bytes.length + 4)
  message.writeUInt32BE(clientFlags, 0)
  message.writeBigUInt64BE(IHAVEOPT, 4)
  message.writeUInt32BE(OPT_GO, 12)
  message.writeUInt32BE(4 + bytes.length + 4, 16)
  message.writeUInt32BE(bytes.length, 20)
  bytes.copy(message, 24)
  message.writeUInt16BE(1, 24 + bytes.length)
  message.writeUInt16BE(INFO_BLOCK_SIZE, 26 + bytes.length)
  return message
}

type Refuse = (why: string, denied?: boolean) => Error

const optionReply = async (incoming: Incoming, refused: Refuse) => {
  const head = await incoming.take(20)
  const [type, length] = [head.readUInt32BE(12), head.readUInt32BE(16)]
  if (head.readBigUInt64BE(0) !== REPLY_MAGIC || head.readUInt32BE(8) !== OPT_GO || length > OPTION_REPLY_BYTES_MAX)
    throw refused("its server breaks the NBD protocol")
  return { type, data: length === 0 ? Buffer.alloc(0) : await incoming.take(length) }
}

const exportOf = (data: Buffer, refused: Refuse) => {
  const sizeBytes = Number(data.readBigUInt64BE(2))
  if (!Number.isSafeInteger(sizeBytes)) throw refused("its server tells a size that is out of all bounds")
  return { sizeBytes, flags: data.readUInt16BE(10) }
}

const blockSizesOf = (data: Buffer, refused: Refuse) => {
  const [minimumBytes, maximumBytes] = [data.readUInt32BE(2), data.readUInt32BE(10)]
  const isPower = minimumBytes > 0 && (minimumBytes & (minimumBytes - 1)) === 0
  if (!isPower || minimumBytes > limits.remoteBlockBytes || maximumBytes < minimumBytes)
    throw refused(`its server takes reads of ${minimumBytes} to ${maximumBytes} bytes only`)
  return { minimumBytes, maximumBytes: Math.max(minimumBytes, maximumBytes - (maximumBytes % minimumBytes)) }
}

/** "Option reply types": what the server says is shown, cut short. */
const refusalOf = (type: number, data: Buffer, url: string): Error => {
  const said = data
    .toString("utf8", 0, 200)
    .replaceAll(/[\x00-\x1f\x7f]+/g, " ")
    .trim()
  const words = said === "" ? "" : `: ${said}`
  switch (type - REP_ERROR) {
    case 6:
      return fail("IMAGE_FILE_NOT_FOUND", { path: url })
    case 7:
      return new Transient(`its server is shutting down${words}`)
    case 2:
      return fail("REMOTE_REFUSED", { url, why: `its server does not let this machine open it${words}`, denied: true })
    case 5:
      return fail("REMOTE_REFUSED", { url, why: "its server wants TLS, which is not spoken here", denied: false })
    case 1:
      return fail("REMOTE_REFUSED", { url, why: "its server lacks NBD_OPT_GO", denied: false })
    default:
      return fail("REMOTE_REFUSED", { url, why: `its server refuses it (${type - REP_ERROR})${words}`, denied: false })
  }
}
