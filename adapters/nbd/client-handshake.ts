/**
 * The client's side of the NBD handshake: fixed newstyle, GO, and what is optional before it.
 *
 *     greeting ─► flags ─► [STRUCTURED_REPLY] ─► [SET_META_CONTEXT base:allocation] ─► GO
 *     greeting ─► flags ─► LIST ─► ABORT
 *
 * **Details** Runs over a `Channel` that hands out exactly as many bytes as are asked for, so nothing of the transmission phase is read here.
 */
import type { DiskName } from "../../core/block/lease.ts"
import { readU32 } from "../../core/bytes.ts"
import { limits } from "../../core/limits.ts"
import { NbdError, refusalError } from "./nbd-error.ts"
import {
  decodeGreeting,
  decodeInfo,
  decodeMetaContext,
  decodeOptionReply,
  decodeServer,
  type ExportInfo,
  encodeInfoOrGo,
  encodeMetaQueries,
  encodeOption,
  FLAG_FIXED_NEWSTYLE,
  FLAG_NO_ZEROES,
  GREETING_BYTES,
  INFO_BLOCK_SIZE,
  INFO_DESCRIPTION,
  INFO_NAME,
  OPT_ABORT,
  OPT_GO,
  OPT_LIST,
  OPT_SET_META_CONTEXT,
  OPT_STRUCTURED_REPLY,
  OPTION_REPLY_HEADER_BYTES,
  type OptionReply,
  REP_ACK,
  REP_INFO,
  REP_META_CONTEXT,
  REP_SERVER,
} from "./options.ts"
import { BASE_ALLOCATION } from "./transmission.ts"

export interface Channel {
  /** The next `bytes` bytes, all of them. */
  take(bytes: number): Promise<Buffer>
  send(bytes: Uint8Array): void
}

export interface Agreed {
  readonly info: ExportInfo
  readonly structured: boolean
  /** Id of base:allocation, when it was selected. */
  readonly allocation: number | undefined
}

/** Largest option reply we read; ours are names and messages. */
const replyBytesMax = limits.nbdOptionBytesMax

/** Opens an export. @throws NbdError */
export const negotiate = async (
  channel: Channel,
  name: string,
  wishes: { readonly structured: boolean; readonly blockStatus: boolean },
): Promise<Agreed> => {
  await greet(channel)
  const structured = wishes.structured && (await agrees(channel, OPT_STRUCTURED_REPLY))
  const allocation = structured && wishes.blockStatus ? await selectAllocation(channel, name) : undefined
  return { info: await go(channel, name), structured, allocation }
}

/** The exports a server shows, in its order. @throws NbdError */
export const negotiateList = async (channel: Channel): Promise<ReadonlyArray<DiskName>> => {
  await greet(channel)
  channel.send(encodeOption(OPT_LIST))
  const servers = await replies(channel, OPT_LIST)
  channel.send(encodeOption(OPT_ABORT))
  return servers.filter((r) => r.type === REP_SERVER).map((r) => decodeServer(r.data))
}

const greet = async (channel: Channel): Promise<void> => {
  const greeting = decodeGreeting(await channel.take(GREETING_BYTES))
  if ("kind" in greeting) throw new NbdError("PROTOCOL", "this is not an NBD server")
  if ((greeting.flags & FLAG_FIXED_NEWSTYLE) === 0) {
    throw new NbdError("PROTOCOL", "the server does not speak fixed newstyle")
  }
  const flags = Buffer.alloc(4)
  flags.writeUInt32BE(greeting.flags & (FLAG_FIXED_NEWSTYLE | FLAG_NO_ZEROES))
  channel.send(flags)
}

const agrees = async (channel: Channel, option: number): Promise<boolean> => {
  channel.send(encodeOption(option))
  return (await settle(channel, option)).refusal === undefined
}

const selectAllocation = async (channel: Channel, name: string): Promise<number | undefined> => {
  channel.send(encodeOption(OPT_SET_META_CONTEXT, encodeMetaQueries(name, [BASE_ALLOCATION])))
  const { replies: got } = await settle(channel, OPT_SET_META_CONTEXT)
  const contexts = got.filter((r) => r.type === REP_META_CONTEXT).map((r) => decodeMetaContext(r.data))
  return contexts.find((c) => c.name === BASE_ALLOCATION)?.id
}

const go = async (channel: Channel, name: string): Promise<ExportInfo> => {
  channel.send(encodeOption(OPT_GO, encodeInfoOrGo(name, [INFO_NAME, INFO_DESCRIPTION, INFO_BLOCK_SIZE])))
  let info: ExportInfo = {
    name,
    description: "",
    sizeBytes: -1,
    transmissionFlags: 0,
    // "Size constraints": what holds when nothing is said.
    minimumBytes: 1,
    preferredBytes: 4096,
    payloadBytesMax: limits.ioBytesMax,
  }
  for (const reply of await replies(channel, OPT_GO)) {
    if (reply.type !== REP_INFO) continue
    const i = decodeInfo(reply.data)
    if (i.kind === "export") info = { ...info, sizeBytes: i.sizeBytes, transmissionFlags: i.transmissionFlags }
    else if (i.kind === "name") info = { ...info, name: i.text }
    else if (i.kind === "description") info = { ...info, description: i.text }
    else if (i.kind === "blockSize") {
      const { minimumBytes, preferredBytes, payloadBytesMax } = i
      info = { ...info, minimumBytes, preferredBytes, payloadBytesMax }
    }
  }
  if (info.sizeBytes < 0) throw new NbdError("PROTOCOL", "the server did not say how large the export is")
  return info
}

/** Every reply to an option up to its last, which must not be an error. */
const replies = async (channel: Channel, option: number): Promise<ReadonlyArray<OptionReply>> => {
  const settled = await settle(channel, option)
  if (settled.refusal !== undefined) throw settled.refusal
  return settled.replies
}

const settle = async (
  channel: Channel,
  option: number,
): Promise<{ readonly replies: ReadonlyArray<OptionReply>; readonly refusal: NbdError | undefined }> => {
  const got: Array<OptionReply> = []
  for (;;) {
    const reply = await takeReply(channel)
    if (reply.option !== option) throw new NbdError("PROTOCOL", `a reply to option ${reply.option}, which was not sent`)
    if (reply.type === REP_ACK) return { replies: got, refusal: undefined }
    if (reply.type >= 0x8000_0000) return { replies: got, refusal: refusalError(reply.type, reply.data.toString()) }
    got.push(reply)
  }
}

const takeReply = async (channel: Channel): Promise<OptionReply & { readonly data: Buffer }> => {
  const head = await channel.take(OPTION_REPLY_HEADER_BYTES)
  const length = readU32(head, 16)
  if (length > replyBytesMax) throw new NbdError("PROTOCOL", `an option reply of ${length} bytes`)
  const reply = decodeOptionReply(Buffer.concat([head, await channel.take(length)]))
  if (reply === "more" || "kind" in reply) throw new NbdError("PROTOCOL", "an option reply without its magic")
  return { ...reply, data: Buffer.from(reply.data) }
}
