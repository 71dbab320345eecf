/**
 * One file on its way to one client, as a pure state machine: no socket, no timer, no file; time and bytes come in.
 *
 * | phase | waits for | goes on when |
 * |---|---|---|
 * | oack | ACK 0 (RFC 2347) | it comes: the first bytes are read |
 * | reading | bytes of the file | they come: a window is sent |
 * | sending | ACK of the window's last block (RFC 1350 §2, RFC 7440 §4) | it comes: the next window; of an earlier block: from the one after it |
 * | ended | nothing | |
 *
 * **Details** Blocks are counted from 1 without end; the wire has the low 16 bits, so that after 65535 comes 0. The last block is the first one
 * shorter than blksize: empty where the size is a multiple of it (RFC 1350 §6). A duplicate ACK sends nothing, because that would double
 * every packet from there on (RFC 1123 §4.2.3.1, the Sorcerer's Apprentice): only time sends again, each time later, up to a bound. How long it waits
 * first is learnt from the answers so far, as TCP does (RFC 6298 §2): a lost packet in a room of PCs then costs a fiftieth of a second. A timeout
 * that was agreed (RFC 2349) is the rhythm after that first time. A client that asks again has not got what answers its request: that is sent again at once.
 *
 * **Gotchas** A client that lost the first block of a window acknowledges what it acknowledged before. That is a duplicate too and waits for time.
 */
import assert from "node:assert"
import { type Agreed, type NegotiationLimits, negotiate } from "./negotiate.ts"
import { ERROR_CODE, type ErrorPacket, type Packet, type TftpOption, type Unknown } from "./packet.ts"

export interface TransferLimits extends NegotiationLimits {
  /** Least that is read at once, so that small blocks do not cost a read each. */
  readonly readBytes: number
  /** Until a round trip was measured. */
  readonly timeoutMillis: number
  readonly timeoutMillisMin: number
  /** The same of the first time that a single block is sent again. */
  readonly probeMillisMin: number
  readonly timeoutMillisMax: number
  /** How often the same packets are sent again, at least. */
  readonly retriesMax: number
  /** A silence that is shorter is no end, unless a timeout was agreed. */
  readonly silenceMillisMin: number
  /** With an agreed timeout that is long, fewer retries do. */
  readonly silenceMillisMax: number
}

export interface Transfer {
  readonly phase: "oack" | "reading" | "sending" | "ended"
  readonly sizeBytes: number
  readonly agreed: Agreed
  readonly bounds: TransferLimits
  /** The last block of the file. */
  readonly lastBlock: number
  /** Blocks that the client has. */
  readonly acked: number
  /** The last block that was sent in this window. */
  readonly sent: number
  /** Bytes of the file from `offset` on. */
  readonly chunk: { readonly offset: number; readonly bytes: Uint8Array }
  readonly retries: number
  /** When the packets in question were sent first. */
  readonly since: number
  /** When time sends again; only while an answer is due. */
  readonly deadline: number
  /** Undefined until an answer came to what was sent once: which of two was answered, nobody knows (Karn). */
  readonly roundTrip: RoundTrip | undefined
}

/** Milliseconds; RFC 6298's SRTT and RTTVAR. */
interface RoundTrip {
  readonly smooth: number
  readonly variation: number
}

export type Input =
  | { readonly type: "packet"; readonly packet: Packet | Unknown }
  | { readonly type: "bytes"; readonly bytes: Uint8Array }
  | { readonly type: "unreadable"; readonly message: string }
  | { readonly type: "time" }
  /** The client's request came again. */
  | { readonly type: "request" }
  | { readonly type: "stop" }

export type Outcome =
  | { readonly type: "done"; readonly sizeBytes: number }
  | { readonly type: "stopped"; readonly message: string }
  | { readonly type: "aborted"; readonly code: number; readonly message: string }
  | { readonly type: "failed"; readonly message: string }
  | { readonly type: "timeout"; readonly lastBlock: number; readonly blocks: number; readonly seconds: number }
  /** Everything was sent, and of the last window no ACK came: some firmware goes on with what it has and never says so. */
  | { readonly type: "unconfirmed"; readonly sizeBytes: number; readonly seconds: number }

export type Effect =
  | { readonly type: "none" }
  /** `least` are needed now; `length`, where it is one read. */
  | { readonly type: "read"; readonly offset: number; readonly length: number; readonly least: number }
  /** Give `time` at this moment, unless another step says otherwise. */
  | { readonly type: "wait"; readonly until: number }
  | { readonly type: "end"; readonly outcome: Outcome }

export type Step = readonly [transfer: Transfer, packets: ReadonlyArray<Packet>, effect: Effect]

const none: Effect = { type: "none" }

/** The first step of a read request: an OACK if there is something to agree on, else the first block. */
export const begin = (
  options: ReadonlyArray<TftpOption>,
  sizeBytes: number,
  bounds: TransferLimits,
  now: number,
): Step => {
  assert(Number.isSafeInteger(sizeBytes) && sizeBytes >= 0)
  const agreed = negotiate(options, sizeBytes, bounds)
  const transfer: Transfer = {
    phase: "oack",
    sizeBytes,
    agreed,
    bounds,
    lastBlock: Math.floor(sizeBytes / agreed.blksize) + 1,
    acked: 0,
    sent: 0,
    chunk: { offset: 0, bytes: new Uint8Array(0) },
    retries: 0,
    since: now,
    deadline: now,
    roundTrip: undefined,
  }
  return agreed.answers.length === 0 ? nextWindow(transfer, 0, undefined, now) : awaited(transfer, oack(agreed), now)
}

export const step = (transfer: Transfer, input: Input, now: number): Step => {
  if (transfer.phase === "ended") return [transfer, [], none]
  switch (input.type) {
    case "packet":
      return onPacket(transfer, input.packet, now)
    case "bytes":
      return onBytes(transfer, input.bytes, now)
    case "unreadable":
      return end(
        transfer,
        { type: "failed", message: input.message },
        errorPacket(ERROR_CODE.notDefined, input.message),
      )
    case "time":
      return onTime(transfer, now)
    case "request":
      return onRequest(transfer, now)
    case "stop": {
      const message = "the server is stopping"
      return end(transfer, { type: "stopped", message }, errorPacket(ERROR_CODE.notDefined, message))
    }
  }
}

const onPacket = (transfer: Transfer, packet: Packet | Unknown, now: number): Step => {
  switch (packet.type) {
    case "ACK":
      return onAck(transfer, packet.blockNumber, now)
    case "ERROR": // RFC 1350 §7: it is not acknowledged and not sent again
      return end(transfer, { type: "aborted", code: packet.code, message: packet.message })
    case "unknown": // noise must not end a transfer
      return waiting(transfer)
    default: {
      const message = `${packet.type} is not expected in a transfer to the client`
      return end(transfer, { type: "failed", message }, errorPacket(ERROR_CODE.illegalOperation, message))
    }
  }
}

const onAck = (transfer: Transfer, blockNumber: number, now: number): Step => {
  if (transfer.phase === "oack")
    return blockNumber === 0 ? nextWindow(transfer, 0, measured(transfer, now), now) : waiting(transfer)
  const ahead = (blockNumber - transfer.acked) & 0xffff
  if (transfer.phase === "reading" || ahead === 0 || ahead > transfer.sent - transfer.acked) return waiting(transfer)
  const acked = transfer.acked + ahead
  if (acked === transfer.lastBlock) return end({ ...transfer, acked }, { type: "done", sizeBytes: transfer.sizeBytes })
  return nextWindow(transfer, acked, measured(transfer, now), now)
}

/** What an answer tells of the way (RFC 6298 §2.2, §2.3). */
const measured = ({ retries, roundTrip: before, since }: Transfer, now: number): RoundTrip | undefined => {
  if (retries > 0) return before
  const took = now - since
  if (before === undefined) return { smooth: took, variation: took / 2 }
  const variation = 0.75 * before.variation + 0.25 * Math.abs(before.smooth - took)
  return { smooth: 0.875 * before.smooth + 0.125 * took, variation }
}

/** Sends the window after `acked`, from the bytes at hand if they hold it whole. */
const nextWindow = (before: Transfer, acked: number, roundTrip: RoundTrip | undefined, now: number): Step => {
  const { agreed, bounds, chunk, lastBlock, sizeBytes } = before
  const from = acked * agreed.blksize
  const sent = Math.min(acked + agreed.windowsize, lastBlock)
  const to = Math.min(sent * agreed.blksize, sizeBytes)
  if (from >= chunk.offset && to <= chunk.offset + chunk.bytes.length) {
    const deadline = now + firstPatience(agreed, bounds, roundTrip)
    const sending: Transfer = { ...before, phase: "sending", acked, sent, roundTrip, retries: 0, since: now, deadline }
    return [sending, windowOf(sending), { type: "wait", until: deadline }]
  }
  const length = Math.min(Math.max(to - from, bounds.readBytes), sizeBytes - from)
  const empty = { offset: from, bytes: new Uint8Array(0) }
  return [
    { ...before, phase: "reading", acked, sent, roundTrip, chunk: empty },
    [],
    { type: "read", offset: from, length, least: to - from },
  ]
}

const onBytes = (transfer: Transfer, bytes: Uint8Array, now: number): Step => {
  assert(transfer.phase === "reading", "bytes come only when they were asked for")
  const { offset } = transfer.chunk
  const to = Math.min(transfer.sent * transfer.agreed.blksize, transfer.sizeBytes)
  if (offset + bytes.length < to)
    return step(transfer, { type: "unreadable", message: "the file changed while it was sent" }, now)
  const sending: Transfer = { ...transfer, phase: "sending", chunk: { offset, bytes } }
  return awaited(sending, windowOf(sending), now)
}

const windowOf = ({ acked, sent, agreed, chunk, sizeBytes }: Transfer): ReadonlyArray<Packet> => {
  const packets: Array<Packet> = []
  for (let block = acked + 1; block <= sent; block++) {
    const from = (block - 1) * agreed.blksize - chunk.offset
    const to = Math.min(block * agreed.blksize, sizeBytes) - chunk.offset
    packets.push({ type: "DATA", blockNumber: block & 0xffff, data: chunk.bytes.subarray(from, to) })
  }
  return packets
}

const oack = (agreed: Agreed): ReadonlyArray<Packet> => [{ type: "OACK", options: agreed.answers }]

const onTime = (transfer: Transfer, now: number): Step => {
  if (transfer.phase === "reading" || now < transfer.deadline) return waiting(transfer)
  const { bounds, retries, since, agreed } = transfer
  const silence = now - since
  const enough = agreed.timeoutSeconds !== undefined || silence >= bounds.silenceMillisMin
  if ((retries >= bounds.retriesMax && enough) || (retries > 0 && silence >= bounds.silenceMillisMax)) {
    const message = "no answer from the client"
    return end(transfer, silentEnd(transfer, Math.round(silence / 1000)), errorPacket(ERROR_CODE.notDefined, message))
  }
  const again: Transfer = { ...transfer, retries: retries + 1, deadline: now + patience(transfer, retries + 1) }
  return [again, outstanding(again), { type: "wait", until: again.deadline }]
}

/** A doubled request is none: the answer to the first is on its way. Whoever asks in another's name has it sent no more often than time would send it. */
const onRequest = (transfer: Transfer, now: number): Step => {
  const { phase, acked, agreed, since, bounds, retries, deadline } = transfer
  const unanswered = phase === "oack" || (phase === "sending" && acked === 0 && agreed.answers.length === 0)
  if (!unanswered || retries >= bounds.retriesMax || now - since < bounds.probeMillisMin) return waiting(transfer)
  return [{ ...transfer, retries: retries + 1 }, outstanding(transfer), { type: "wait", until: deadline }]
}

/** What waits for its answer. */
const outstanding = (transfer: Transfer): ReadonlyArray<Packet> =>
  transfer.phase === "oack" ? oack(transfer.agreed) : windowOf(transfer)

/** A client that never answered has nothing, whatever was sent to it. */
const silentEnd = ({ phase, acked, agreed, sent, lastBlock, sizeBytes }: Transfer, seconds: number): Outcome => {
  const answered = phase === "sending" && (acked > 0 || agreed.answers.length > 0)
  if (answered && sent === lastBlock) return { type: "unconfirmed", sizeBytes, seconds }
  return { type: "timeout", lastBlock: acked, blocks: lastBlock, seconds }
}

/** How long an answer is waited for after `retries` were sent. */
const patience = ({ agreed, bounds, roundTrip }: Transfer, retries: number): number => {
  if (retries === 0) return firstPatience(agreed, bounds, roundTrip)
  if (agreed.timeoutSeconds !== undefined) return agreed.timeoutSeconds * 1000
  return Math.min(learnt(bounds, roundTrip, bounds.timeoutMillisMin) * 2 ** retries, bounds.timeoutMillisMax)
}

const firstPatience = (agreed: Agreed, bounds: TransferLimits, roundTrip: RoundTrip | undefined): number => {
  const { timeoutSeconds, windowsize } = agreed
  // A whole window would be much to send in vain.
  const soon = learnt(bounds, roundTrip, windowsize === 1 ? bounds.probeMillisMin : bounds.timeoutMillisMin)
  if (timeoutSeconds === undefined) return Math.min(soon, bounds.timeoutMillisMax)
  return roundTrip === undefined ? timeoutSeconds * 1000 : Math.min(soon, timeoutSeconds * 1000)
}

const learnt = (bounds: TransferLimits, roundTrip: RoundTrip | undefined, min: number): number =>
  Math.max(roundTrip === undefined ? bounds.timeoutMillis : roundTrip.smooth + 4 * roundTrip.variation, min)

/** Packets that were not sent before, and their answer's time. */
const awaited = (transfer: Transfer, packets: ReadonlyArray<Packet>, now: number): Step => {
  const deadline = now + patience(transfer, 0)
  return [{ ...transfer, retries: 0, since: now, deadline }, packets, { type: "wait", until: deadline }]
}

const waiting = (transfer: Transfer): Step => [
  transfer,
  [],
  transfer.phase === "reading" ? none : { type: "wait", until: transfer.deadline },
]

const errorPacket = (code: number, message: string): ErrorPacket => ({ type: "ERROR", code, message })

const end = (transfer: Transfer, outcome: Outcome, last?: ErrorPacket): Step => [
  { ...transfer, phase: "ended", chunk: { offset: 0, bytes: new Uint8Array(0) } },
  last === undefined ? [] : [last],
  { type: "end", outcome },
]
