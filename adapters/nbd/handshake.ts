/**
 * The server's side of the NBD handshake, as a pure state machine (fixed newstyle).
 *
 *     state   on                               to       answered with
 *     flags   client flags, known              options  nothing
 *     options LIST                             asked    (want list)    SERVER…, ACK
 *     options INFO, GO, EXPORT_NAME            asked    (want export)  INFO…, ACK | error; EXPORT_NAME closes on error
 *     options STRUCTURED_REPLY                 options  ACK
 *     options LIST_META_CONTEXT, SET_…         options  META_CONTEXT…, ACK
 *     options ABORT                            over     ACK
 *     options STARTTLS, EXTENDED_HEADERS, rest options  ERR_UNSUP
 *     asked   the answer to what it wanted     options, or over after GO and EXPORT_NAME
 *     any     what breaks the protocol         over     nothing
 *
 * **Details** `step` takes bytes and `answer` takes what the last outcome wanted; both give the replies to send, in order, and what
 * is wanted next. While an answer is out, further bytes are kept and not looked at, so the caller should stop reading. Bytes are kept
 * only until their option is whole, so at most one option of the largest size.
 *
 * **Not done** TLS ("NOTLS mode": STARTTLS is answered ERR_UNSUP); the extension branches of the protocol.
 */

import type { DiskName } from "../../core/block/lease.ts"
import { readU32 } from "../../core/bytes.ts"
import { fail, type ImagelinkError } from "../../core/errors.ts"
import { limits } from "../../core/limits.ts"
import { refusalOf, textOf } from "./errno.ts"
import { type ExportName, parseExportName } from "./exports.ts"
import {
  CLIENT_FLAGS_BYTES,
  decodeOption,
  type ExportInfo,
  encodeExportName,
  encodeInfo,
  encodeMetaContext,
  encodeOptionReply,
  encodeServer,
  FLAG_FIXED_NEWSTYLE,
  FLAG_NO_ZEROES,
  IHAVEOPT,
  INFO_EXPORT,
  OPT_EXPORT_NAME,
  OPT_GO,
  OPT_SET_META_CONTEXT,
  OPTION_HEADER_BYTES,
  type Option,
  REP_ACK,
  REP_ERR_INVALID,
  REP_ERR_TOO_BIG,
  REP_ERR_UNSUP,
  REP_INFO,
  REP_META_CONTEXT,
  REP_SERVER,
} from "./options.ts"
import { BASE_ALLOCATION } from "./transmission.ts"

/** The id under which base:allocation is agreed. */
export const ALLOCATION_CONTEXT = 1

interface Asked {
  /** Code of the option that waits for its answer. */
  readonly option: number
  readonly name: string
  readonly wants: ReadonlyArray<number>
}

export interface HandshakeState {
  readonly phase: "flags" | "options" | "asked" | "over"
  readonly fixed: boolean
  readonly noZeroes: boolean
  readonly structured: boolean
  /** The export for which base:allocation was selected. */
  readonly allocationOf: string | undefined
  readonly options: number
  readonly asked: Asked | undefined
  readonly buffer: Uint8Array
}

export type Outcome =
  | { readonly want: "bytes" }
  | { readonly want: "list" }
  | { readonly want: "export"; readonly name: ExportName; readonly text: string; readonly structured: boolean }
  /** Option haggling ended well: `rest` are the first bytes of the transmission phase. */
  | {
      readonly want: "transmission"
      readonly structured: boolean
      readonly allocation: boolean
      readonly rest: Uint8Array
    }
  /** Send the replies, then close. `why` is for the log. */
  | { readonly want: "close"; readonly why: string }

export type Answer =
  | { readonly kind: "list"; readonly disks: ReadonlyArray<DiskName> }
  | { readonly kind: "export"; readonly info: ExportInfo }
  | { readonly kind: "refused"; readonly error: ImagelinkError }

export interface Step {
  readonly state: HandshakeState
  readonly replies: ReadonlyArray<Uint8Array>
  readonly outcome: Outcome
}

/** Before the client's flags. The caller has sent the greeting. */
export const initial: HandshakeState = {
  phase: "flags",
  fixed: false,
  noZeroes: false,
  structured: false,
  allocationOf: undefined,
  options: 0,
  asked: undefined,
  buffer: new Uint8Array(0),
}

/** Takes what arrived. */
export const step = (state: HandshakeState, bytes: Uint8Array): Step => {
  if (state.phase === "over") return { state, replies: [], outcome: { want: "close", why: "the handshake is over" } }
  const buffer = state.buffer.length === 0 ? bytes : Buffer.concat([state.buffer, bytes])
  const kept = { ...state, buffer }
  return kept.phase === "asked" ? { state: kept, replies: [], outcome: { want: "bytes" } } : haggle(kept, [])
}

/** Takes what the last outcome wanted. */
export const answer = (state: HandshakeState, a: Answer): Step => {
  const asked = state.asked
  if (asked === undefined) throw new Error("nothing was asked")
  const next: HandshakeState = { ...state, phase: "options", asked: undefined }
  if (a.kind === "list") {
    const servers = a.disks.map((d) => encodeOptionReply(asked.option, REP_SERVER, encodeServer(d.name, d.description)))
    return haggle(next, [...servers, encodeOptionReply(asked.option, REP_ACK)])
  }
  if (asked.option === OPT_EXPORT_NAME) {
    if (a.kind === "refused") return over(next, [], a.error.message)
    return transmit(next, asked, [encodeExportName(a.info, state.noZeroes)])
  }
  if (a.kind === "refused") return haggle(next, [refuse(asked.option, a.error)])
  const types = new Set([INFO_EXPORT, ...asked.wants])
  const infos = [...types].map((type) => encodeInfo(type, a.info)).filter((b) => b !== undefined)
  const replies = [...infos.map((b) => encodeOptionReply(asked.option, REP_INFO, b)), ack(asked.option)]
  return asked.option === OPT_GO ? transmit(next, asked, replies) : haggle(next, replies)
}

const ack = (option: number): Buffer => encodeOptionReply(option, REP_ACK)
const refuse = (option: number, e: ImagelinkError): Buffer =>
  encodeOptionReply(option, refusalOf(e), Buffer.from(textOf(e)))
const object = (option: number, type: number, why: string): Buffer => encodeOptionReply(option, type, Buffer.from(why))

const over = (state: HandshakeState, replies: ReadonlyArray<Uint8Array>, why: string): Step => ({
  state: { ...state, phase: "over", buffer: initial.buffer },
  replies,
  outcome: { want: "close", why },
})

const transmit = (state: HandshakeState, asked: Asked, replies: ReadonlyArray<Uint8Array>): Step => ({
  state: { ...state, phase: "over", buffer: initial.buffer },
  replies,
  outcome: {
    want: "transmission",
    structured: state.structured,
    allocation: state.structured && state.allocationOf === asked.name,
    rest: state.buffer,
  },
})

/** Works off the buffer until it needs bytes or an answer. */
const haggle = (from: HandshakeState, replies: Array<Uint8Array>): Step => {
  let state = from
  for (;;) {
    const one = state.phase === "flags" ? takeFlags(state) : takeOption(state)
    replies.push(...one.replies)
    state = one.state
    if (one.outcome !== "on") return { state, replies, outcome: one.outcome }
  }
}

interface Turn {
  readonly state: HandshakeState
  readonly replies: ReadonlyArray<Uint8Array>
  readonly outcome: Outcome | "on"
}

const moreBytes = (state: HandshakeState): Turn => ({ state, replies: [], outcome: { want: "bytes" } })

const takeFlags = (state: HandshakeState): Turn => {
  if (state.buffer.length < CLIENT_FLAGS_BYTES) return moreBytes(state)
  const flags = readU32(state.buffer, 0)
  const unknown = (flags & ~(FLAG_FIXED_NEWSTYLE | FLAG_NO_ZEROES)) >>> 0
  // "Client flags": the server MUST drop the connection if the client sets an unknown flag.
  if (unknown !== 0) return over(state, [], `unknown client flags 0x${unknown.toString(16)}`)
  const next: HandshakeState = {
    ...state,
    phase: "options",
    fixed: (flags & FLAG_FIXED_NEWSTYLE) !== 0,
    noZeroes: (flags & FLAG_NO_ZEROES) !== 0,
    buffer: state.buffer.subarray(CLIENT_FLAGS_BYTES),
  }
  return { state: next, replies: [], outcome: "on" }
}

const takeOption = (state: HandshakeState): Turn => {
  const b = state.buffer
  const head = Math.min(8, b.length)
  if (!IHAVEOPT.subarray(0, head).equals(b.subarray(0, head))) return over(state, [], "an option without its magic")
  if (b.length < OPTION_HEADER_BYTES) return moreBytes(state)
  const option = readU32(b, 8)
  const length = readU32(b, 12)
  // Skipping so much would only help an attacker; "Termination of the session" allows closing then.
  if (length > limits.nbdOptionBytesMax) return over(state, [], `an option of ${length} bytes`)
  if (b.length < OPTION_HEADER_BYTES + length) return moreBytes(state)
  if (state.options >= limits.nbdOptionsMax) return over(state, [], "too many options")
  const data = b.subarray(OPTION_HEADER_BYTES, OPTION_HEADER_BYTES + length)
  const next = { ...state, options: state.options + 1, buffer: b.subarray(OPTION_HEADER_BYTES + length) }
  // "Newstyle negotiation": without the client's FIXED_NEWSTYLE this is the only option.
  if (!state.fixed && option !== OPT_EXPORT_NAME) return over(next, [], "an option outside fixed newstyle")
  return take(next, option, decodeOption(option, data))
}

const take = (state: HandshakeState, code: number, option: Option): Turn => {
  const reply = (...replies: Array<Uint8Array>): Turn => ({ state, replies, outcome: "on" })
  switch (option.kind) {
    case "abort":
      return over(state, [ack(code)], "the client aborted")
    case "list":
      return ask(state, { option: code, name: "", wants: [] }, { want: "list" })
    case "structuredReply":
      return { state: { ...state, structured: true }, replies: [ack(code)], outcome: "on" }
    case "exportName":
      return open(state, { option: code, name: option.name, wants: [] })
    case "infoOrGo":
      return open(state, { option: code, name: option.name, wants: option.wants })
    case "metaContext":
      return metaContext(state, code, option)
    case "malformed":
      if (code === OPT_EXPORT_NAME) return over(state, [], option.why)
      return malformed(state, code, object(code, option.tooBig ? REP_ERR_TOO_BIG : REP_ERR_INVALID, option.why))
    case "startTls":
      return reply(object(code, REP_ERR_UNSUP, "this server does not speak TLS"))
    case "unknown":
      return reply(object(code, REP_ERR_UNSUP, `option ${code} is not known here`))
  }
}

/** SET_META_CONTEXT replaces what was selected before "including when this command fails". */
const malformed = (state: HandshakeState, code: number, reply: Uint8Array): Turn => ({
  state: code === OPT_SET_META_CONTEXT ? { ...state, allocationOf: undefined } : state,
  replies: [reply],
  outcome: "on",
})

const ask = (state: HandshakeState, asked: Asked, outcome: Outcome): Turn => ({
  state: { ...state, phase: "asked", asked },
  replies: [],
  outcome,
})

const open = (state: HandshakeState, asked: Asked): Turn => {
  const name = parseExportName(asked.name)
  if (name !== undefined)
    return ask(state, asked, { want: "export", name, text: asked.name, structured: state.structured })
  const error = fail("EXPORT_NOT_FOUND", { name: asked.name })
  if (asked.option === OPT_EXPORT_NAME) return over(state, [], error.message)
  return { state, replies: [refuse(asked.option, error)], outcome: "on" }
}

/** "Metadata querying": `base:` lists as a wildcard and selects nothing; no query lists all and selects nothing. */
const metaContext = (state: HandshakeState, code: number, option: Option & { kind: "metaContext" }): Turn => {
  const { set, name, queries } = option
  const next = set ? { ...state, allocationOf: undefined } : state
  const reply = (...replies: Array<Uint8Array>): Turn => ({ state: next, replies, outcome: "on" })
  if (!state.structured) return reply(object(code, REP_ERR_INVALID, "structured replies come first"))
  if (parseExportName(name) === undefined) return reply(refuse(code, fail("EXPORT_NOT_FOUND", { name })))
  const wildcard = !set && (queries.length === 0 || queries.includes("base:"))
  if (!wildcard && !queries.includes(BASE_ALLOCATION)) return reply(ack(code))
  const context = encodeMetaContext(set ? ALLOCATION_CONTEXT : 0, BASE_ALLOCATION)
  return {
    state: set ? { ...next, allocationOf: name } : next,
    replies: [encodeOptionReply(code, REP_META_CONTEXT, context), ack(code)],
    outcome: "on",
  }
}
