/**
 * The initiator's side of a login, a pure state machine: what to send next, until the session runs (RFC 7143 §6.3).
 *
 *     one step      operational stage straight to full feature, as iscsistart does
 *     two steps     security stage first (with CHAP, when there is a secret), as iPXE does
 */
import { randomBytes } from "node:crypto"
import { readU16, readU32, writeU16, writeU32 } from "../../core/bytes.ts"
import { chapResponse, type Secret } from "./chap.ts"
import { BHS_BYTES, FINAL, IMMEDIATE, LOGIN, LOGIN_RESPONSE, OPCODE_MASK, padded, putDataSegmentBytes } from "./pdu.ts"
import { encodeText, hexBinary, type Pair, parseBinary, parseText } from "./text.ts"

/** A login that was refused, or a session that broke; `status` is class and detail of a login response. */
export class IscsiError extends Error {
  override readonly name = "IscsiError"
  readonly status: number | undefined
  /** Where the target is instead, as TargetAddress tells it. */
  readonly movedTo: string | undefined
  constructor(message: string, status?: number, movedTo?: string) {
    super(message)
    this.status = status
    this.movedTo = movedTo
  }
}

export interface LoginOptions {
  readonly initiator: string
  /** Undefined: a discovery session. */
  readonly target: string | undefined
  readonly isid: Uint8Array
  readonly keys: ReadonlyMap<string, string>
  readonly chap?: Secret & { readonly algorithms?: string }
  readonly steps: 1 | 2
  readonly cmdSN: number
  readonly tsih: number
}

export type ClientStep =
  | { readonly kind: "send"; readonly pdu: Buffer }
  | {
      readonly kind: "done"
      readonly answers: ReadonlyMap<string, string>
      readonly tsih: number
      readonly statSN: number
    }

const SECURITY = 0
const OPERATIONAL = 1
const FULL_FEATURE = 3

export class ClientLogin {
  private readonly options: LoginOptions
  private readonly answers = new Map<string, string>()
  private stage: number
  private statSN = 0
  private proved = false
  private ourChallenge: Buffer | undefined
  private ourAlgorithm = ""

  constructor(options: LoginOptions) {
    this.options = options
    this.stage = options.steps === 1 && options.chap === undefined ? OPERATIONAL : SECURITY
  }

  first(): Buffer {
    const { initiator, target, chap } = this.options
    const names: Array<Pair> = [["InitiatorName", initiator]]
    names.push(target === undefined ? ["SessionType", "Discovery"] : ["SessionType", "Normal"])
    if (target !== undefined) names.push(["TargetName", target])
    if (this.stage === OPERATIONAL) return this.request(FULL_FEATURE, [...names, ...this.options.keys])
    names.push(["AuthMethod", chap === undefined ? "None" : "CHAP"])
    return this.request(chap === undefined ? OPERATIONAL : undefined, names)
  }

  /** @throws IscsiError when the target refuses, or answers what it may not */
  response(b: Uint8Array, data: Uint8Array): ClientStep {
    if ((b[0]! & OPCODE_MASK) !== LOGIN_RESPONSE) throw new IscsiError("not a login response")
    const status = readU16(b, 36)
    const pairs = parseText(data)
    if (status !== 0) {
      const movedTo = new Map(pairs).get("TargetAddress")
      const more = movedTo === undefined ? "" : `: the target is at ${movedTo}`
      throw new IscsiError(`the login was refused with ${status.toString(16).padStart(4, "0")}${more}`, status, movedTo)
    }
    this.statSN = readU32(b, 24)
    if (pairs === undefined) throw new IscsiError("the answer is not text")
    for (const [key, value] of pairs) this.answers.set(key, value)
    const transit = (b[1]! & FINAL) !== 0
    const nsg = b[1]! & 3
    if (transit && nsg === FULL_FEATURE) {
      this.judgeMutual()
      return { kind: "done", answers: this.answers, tsih: readU16(b, 14), statSN: this.statSN }
    }
    if (transit) this.stage = nsg
    if (this.stage === OPERATIONAL) return { kind: "send", pdu: this.request(FULL_FEATURE, [...this.options.keys]) }
    return { kind: "send", pdu: this.authenticate(new Map(pairs)) }
  }

  private authenticate(said: ReadonlyMap<string, string>): Buffer {
    const { chap } = this.options
    if (chap === undefined) return this.request(OPERATIONAL, [])
    const algorithm = said.get("CHAP_A")
    if (algorithm === undefined) {
      if (this.proved) return this.request(OPERATIONAL, [])
      return this.request(undefined, [["CHAP_A", chap.algorithms ?? "8,7,6,5"]])
    }
    const challenge = parseBinary(said.get("CHAP_C") ?? "")
    if (challenge === undefined) throw new IscsiError("the target's challenge is none")
    this.proved = true
    this.ourAlgorithm = algorithm
    const response = chapResponse(algorithm, Number(said.get("CHAP_I")), chap.secret, challenge)
    const pairs: Array<Pair> = [
      ["CHAP_N", chap.user],
      ["CHAP_R", hexBinary(response)],
    ]
    if (chap.mutual !== undefined) {
      this.ourChallenge = randomBytes(16)
      pairs.push(["CHAP_I", "1"], ["CHAP_C", hexBinary(this.ourChallenge)])
    }
    return this.request(OPERATIONAL, pairs)
  }

  private judgeMutual(): void {
    const mutual = this.options.chap?.mutual
    if (mutual === undefined || this.ourChallenge === undefined) return
    const expected = chapResponse(this.ourAlgorithm, 1, mutual.secret, this.ourChallenge)
    const response = parseBinary(this.answers.get("CHAP_R") ?? "")
    if (this.answers.get("CHAP_N") !== mutual.user || response === undefined || !expected.equals(response))
      throw new IscsiError("the target does not know the mutual secret")
  }

  private request(nsg: number | undefined, pairs: ReadonlyArray<Pair>): Buffer {
    const text = encodeText(pairs)
    const b = Buffer.alloc(BHS_BYTES + padded(text.length))
    b[0] = IMMEDIATE | LOGIN
    b[1] = (nsg === undefined ? 0 : FINAL | nsg) | (this.stage << 2)
    putDataSegmentBytes(b, 0, text.length)
    b.set(this.options.isid, 8)
    writeU16(b, 14, this.options.tsih)
    writeU32(b, 24, this.options.cmdSN)
    writeU32(b, 28, this.statSN)
    b.set(text, BHS_BYTES)
    return b
  }
}
