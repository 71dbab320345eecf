/**
 * The receiving end of one file, as a pure state machine: which packets a client answers, and when the file is whole.
 *
 * **Details** With a window (RFC 7440 §4) the last block of each is acknowledged, and where one is missing, the last that came in order, once. A block that
 * came before is acknowledged again only if it is the newest: the server then lost the ACK.
 */
import { BLKSIZE_DEFAULT } from "./negotiate.ts"
import { ERROR_CODE, type Packet, type TftpOption } from "./packet.ts"

export interface Receiver {
  /** What the request asked for. */
  readonly asked: ReadonlyMap<string, string>
  readonly answers: ReadonlyArray<TftpOption>
  readonly agreed: boolean
  readonly blksize: number
  readonly windowsize: number
  /** Blocks that came in order, counted from 1 without end. */
  readonly received: number
  readonly inWindow: number
  readonly gapSaid: boolean
}

export type Received =
  | { readonly type: "more"; readonly data?: Uint8Array }
  | { readonly type: "whole"; readonly data: Uint8Array }
  | { readonly type: "refused"; readonly code: number; readonly message: string }

export type ReceiverStep = readonly [receiver: Receiver, answer: Packet | undefined, received: Received]

export const receiver = (options: ReadonlyArray<TftpOption>): Receiver => ({
  asked: new Map(options),
  answers: [],
  agreed: false,
  blksize: BLKSIZE_DEFAULT,
  windowsize: 1,
  received: 0,
  inWindow: 0,
  gapSaid: false,
})

export const receive = (state: Receiver, packet: Packet): ReceiverStep => {
  switch (packet.type) {
    case "ERROR":
      return [state, undefined, { type: "refused", code: packet.code, message: packet.message }]
    case "OACK":
      return onOptions(state, packet.options)
    case "DATA":
      return onData(state, packet.blockNumber, packet.data)
    default:
      return refuse(state, ERROR_CODE.illegalOperation, `${packet.type} is not expected by a reader`)
  }
}

const ack = (received: number): Packet => ({ type: "ACK", blockNumber: received & 0xffff })
const more: Received = { type: "more" }

/** RFC 2347: a server answers only what it was asked, and nothing larger. */
const onOptions = (state: Receiver, answers: ReadonlyArray<TftpOption>): ReceiverStep => {
  if (state.received > 0) return [state, undefined, more]
  if (state.agreed) return [state, ack(0), more]
  const given = new Map(answers)
  for (const [name, value] of given) {
    const wanted = state.asked.get(name)
    const good = wanted !== undefined && /^\d+$/.test(value)
    if (!good || (name !== "tsize" && (Number(value) > Number(wanted) || Number(value) < 1)))
      return refuse(state, ERROR_CODE.optionRefused, `option ${name} was not asked for like this`)
  }
  const blksize = Number(given.get("blksize") ?? BLKSIZE_DEFAULT)
  const windowsize = Number(given.get("windowsize") ?? 1)
  return [{ ...state, answers, agreed: true, blksize, windowsize }, ack(0), more]
}

const onData = (state: Receiver, blockNumber: number, data: Uint8Array): ReceiverStep => {
  if (data.length > state.blksize)
    return refuse(state, ERROR_CODE.illegalOperation, "a block is larger than was agreed")
  const ahead = (blockNumber - state.received - 1) & 0xffff
  if (ahead !== 0) return outOfOrder(state, ahead)
  const received = state.received + 1
  const next: Receiver = { ...state, agreed: true, received, inWindow: state.inWindow + 1, gapSaid: false }
  if (data.length < state.blksize) return [next, ack(received), { type: "whole", data }]
  if (next.inWindow < state.windowsize) return [next, undefined, { type: "more", data }]
  return [{ ...next, inWindow: 0 }, ack(received), { type: "more", data }]
}

const outOfOrder = (state: Receiver, ahead: number): ReceiverStep => {
  const newest = ahead === 0xffff && state.received > 0
  const gap = ahead < state.windowsize && !state.gapSaid
  if (!newest && !gap) return [state, undefined, more]
  return [{ ...state, inWindow: 0, gapSaid: state.gapSaid || gap }, ack(state.received), more]
}

const refuse = (state: Receiver, code: number, message: string): ReceiverStep => [
  state,
  { type: "ERROR", code, message },
  { type: "refused", code, message },
]
