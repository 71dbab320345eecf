/**
 * The login phase of one connection, a pure state machine: login requests in, responses out (RFC 7143 §6.3, §11.12, §11.13).
 *
 *     stage          on                                      to
 *     (none)         first request, CSG 0 or 1               security or operational
 *     security       AuthMethod settled, T with NSG 1 or 3   operational, or wants admission
 *     operational    T with NSG 3                            wants admission
 *     admission      `accept`                                full feature phase
 *     first          a target that is elsewhere              redirected; the connection closes after the response
 *     any            a request that may not come             refused; the connection closes after the response
 *
 * **Details** Text that spans requests (C bit) is answered by empty responses until it is whole. An initiator may begin in the operational
 * stage when its target wants no authentication. TSIH is 0 until the last response, which gives the session its handle.
 *
 * **Not done** More than one connection in a session: a login that names a TSIH is refused (0206 or 020a).
 */
import { readU16, readU32 } from "../../core/bytes.ts"
import { limits } from "../../core/limits.ts"
import { Chap, type Secret } from "./chap.ts"
import type { Elsewhere, ElsewhereOf } from "./elsewhere.ts"
import { type Agreed, defaults, negotiate } from "./keys.ts"
import { isInitiatorName, parseTargetName, type TargetName } from "./names.ts"
import {
  CONTINUE,
  encodeLoginResponse,
  FINAL,
  LOGIN_AUTHENTICATION,
  LOGIN_INITIATOR_ERROR,
  LOGIN_MISSING_PARAMETER,
  LOGIN_NO_SESSION_TYPE,
  LOGIN_NOT_FOUND,
  LOGIN_OUT_OF_RESOURCES,
  LOGIN_SUCCESS,
  LOGIN_VERSION,
  next,
} from "./pdu.ts"
import { encodeText, type Pair, parseText, TextGatherer } from "./text.ts"

const SECURITY = 0
const OPERATIONAL = 1
const FULL_FEATURE = 3
export const PORTAL_GROUP = 1

/** How an initiator may prove itself at a target. */
export interface Proof {
  /** Any of these. */
  readonly secrets: ReadonlyArray<Secret>
  /** CHAP is asked of whoever offers it; of everybody, where it is required. */
  readonly preferred: boolean
  readonly required: boolean
}

export interface LoginPolicy {
  readonly proofOf: (target: TargetName) => Proof
  /** The portal that a client is sent to; undefined: this one. */
  readonly elsewhereOf: ElsewhereOf
  readonly random: (bytes: number) => Uint8Array
  /** Sessions start with this many commands allowed in flight. */
  readonly windowCommands: number
}

/** What a login that came to its end wants. */
export interface Wanted {
  readonly initiator: string
  readonly discovery: boolean
  readonly targetText: string | undefined
  readonly target: TargetName | undefined
  readonly isid: Buffer
  readonly tsih: number
  readonly cid: number
  readonly agreed: Agreed
  readonly user: string | undefined
}

export type LoginStep =
  | { readonly kind: "answer"; readonly response: Buffer }
  | { readonly kind: "admission"; readonly wanted: Wanted }
  | { readonly kind: "refused"; readonly response: Buffer; readonly status: number; readonly why: string }
  | { readonly kind: "redirected"; readonly response: Buffer; readonly to: Elsewhere }

export class Login {
  private readonly policy: LoginPolicy
  private readonly gatherer = new TextGatherer()
  private readonly agreed = defaults()
  private readonly seen = new Set<string>()
  private stage: number | undefined
  private isid = Buffer.alloc(6)
  private tsih = 0
  private cid = 0
  private itt = 0
  private initiator: string | undefined
  private targetText: string | undefined
  private target: TargetName | undefined
  private discovery = false
  private named = false
  private declared = false
  private chap: Chap | undefined
  private proof: Proof = { secrets: [], preferred: false, required: false }
  private proven = false
  private flags = 0
  private answer: ReadonlyArray<Pair> = []
  /** Of the session that follows. */
  expCmdSN = 0
  statSN = 0

  constructor(policy: LoginPolicy) {
    this.policy = policy
  }

  /** Who it is, as far as it said. */
  get who(): { readonly initiator: string | undefined; readonly target: string | undefined } {
    return { initiator: this.initiator, target: this.targetText }
  }

  request(b: Uint8Array, data: Uint8Array): LoginStep {
    const wrong = this.stage === undefined ? this.first(b) : this.again(b)
    if (wrong !== undefined) return this.refuse(wrong.status, wrong.why)
    const flags = b[1]!
    const transit = (flags & FINAL) !== 0
    const csg = (flags >> 2) & 3
    const nsg = flags & 3
    if (transit && (flags & CONTINUE) !== 0)
      return this.refuse(LOGIN_INITIATOR_ERROR, "a request both ends and goes on")
    if (csg !== this.stage) return this.refuse(LOGIN_INITIATOR_ERROR, "a request of another stage")
    if (transit && (nsg <= csg || nsg === 2)) return this.refuse(LOGIN_INITIATOR_ERROR, "no such next stage")
    if (!this.gatherer.add(data)) return this.refuse(LOGIN_OUT_OF_RESOURCES, "the login text is too long")
    if ((flags & CONTINUE) !== 0) return this.respond(csg << 2, [])
    const pairs = parseText(this.gatherer.take())
    if (pairs === undefined) return this.refuse(LOGIN_INITIATOR_ERROR, "the login text is not key=value pairs")
    return this.settle(pairs, csg, transit ? nsg : undefined)
  }

  /** Ends the login: the session is `tsih`. */
  accept(tsih: number): Buffer {
    this.tsih = tsih
    return this.encode(this.flags, LOGIN_SUCCESS, this.answer)
  }

  refuse(status: number, why: string): LoginStep {
    return { kind: "refused", response: this.encode(0, status, []), status, why }
  }

  /** §13.8: the address of a redirection has no portal group tag. */
  private redirect(to: Elsewhere): LoginStep {
    return { kind: "redirected", response: this.encode(0, to.status, [["TargetAddress", to.portal]]), to }
  }

  private first(b: Uint8Array): { status: number; why: string } | undefined {
    const csg = (b[1]! >> 2) & 3
    this.isid = Buffer.from(b.subarray(8, 14))
    this.tsih = readU16(b, 14)
    this.itt = readU32(b, 16)
    this.cid = readU16(b, 20)
    this.expCmdSN = readU32(b, 24)
    // §11.12.4, §11.12.5: this is version 0.
    if (b[3] !== 0) return { status: LOGIN_VERSION, why: `protocol version ${b[3]} or newer is asked for` }
    if (csg > OPERATIONAL) return { status: LOGIN_INITIATOR_ERROR, why: "a login begins in no such stage" }
    this.stage = csg
    return undefined
  }

  private again(b: Uint8Array): { status: number; why: string } | undefined {
    const same = this.isid.equals(b.subarray(8, 14)) && readU16(b, 14) === this.tsih && readU16(b, 20) === this.cid
    if (!same) return { status: LOGIN_INITIATOR_ERROR, why: "ISID, TSIH or CID changed within a login" }
    this.itt = readU32(b, 16)
    return undefined
  }

  private settle(pairs: ReadonlyArray<Pair>, csg: number, nsg: number | undefined): LoginStep {
    const answers: Array<Pair> = []
    if (!this.named) {
      const refused = this.takeNames(pairs, answers)
      if (refused !== undefined) return refused
    }
    const operational = pairs.filter(([key]) => !namesOnly.has(key) && !security.has(key))
    const agreed = negotiate(operational, this.agreed, this.seen)
    if (agreed === undefined) return this.refuse(LOGIN_INITIATOR_ERROR, "a key was negotiated twice")
    if (csg === SECURITY) {
      const refused = this.authenticate(pairs, answers)
      if (refused !== undefined) return refused
    } else if (this.proof.required && !this.proven) {
      return this.refuse(LOGIN_AUTHENTICATION, "the target asks for CHAP, and the initiator skipped it")
    }
    answers.push(...agreed)
    if (csg === OPERATIONAL && !this.declared) {
      this.declared = true
      answers.push(["MaxRecvDataSegmentLength", String(limits.iscsiSegmentBytesMax)])
    }
    const ready = this.proven || (this.chap === undefined && !this.proof.required)
    if (nsg === undefined || !ready) return this.respond(csg << 2, answers)
    if (nsg === FULL_FEATURE) return this.wantAdmission(csg, answers)
    this.stage = nsg
    return this.respond(FINAL | (csg << 2) | nsg, answers)
  }

  private wantAdmission(csg: number, answers: ReadonlyArray<Pair>): LoginStep {
    this.flags = FINAL | (csg << 2) | FULL_FEATURE
    this.answer = answers
    const wanted: Wanted = {
      initiator: this.initiator!,
      discovery: this.discovery,
      targetText: this.targetText,
      target: this.target,
      isid: this.isid,
      tsih: this.tsih,
      cid: this.cid,
      agreed: this.agreed,
      user: this.chap?.user,
    }
    return { kind: "admission", wanted }
  }

  /** §6.3.1, §11.12: who asks, for what; said in the first request. */
  private takeNames(pairs: ReadonlyArray<Pair>, answers: Array<Pair>): LoginStep | undefined {
    const said = new Map(pairs)
    const initiator = said.get("InitiatorName")
    if (initiator === undefined) return this.refuse(LOGIN_MISSING_PARAMETER, "InitiatorName is missing")
    if (!isInitiatorName(initiator)) return this.refuse(LOGIN_INITIATOR_ERROR, "InitiatorName is not an iSCSI name")
    this.initiator = initiator
    const type = said.get("SessionType") ?? "Normal"
    if (type !== "Normal" && type !== "Discovery")
      return this.refuse(LOGIN_NO_SESSION_TYPE, `there is no session type ${JSON.stringify(type)}`)
    this.discovery = type === "Discovery"
    this.targetText = said.get("TargetName")
    if (!this.discovery && this.targetText === undefined)
      return this.refuse(LOGIN_MISSING_PARAMETER, "TargetName is missing")
    this.named = true
    if (this.targetText === undefined) return undefined
    this.target = parseTargetName(this.targetText)
    if (this.target === undefined) return this.refuse(LOGIN_NOT_FOUND, "no target can have that name")
    const elsewhere = this.discovery ? undefined : this.policy.elsewhereOf(this.target.client)
    if (elsewhere !== undefined) return this.redirect(elsewhere)
    this.proof = this.policy.proofOf(this.target)
    // §13.9: "the target portal group tag MUST be returned in the first Login Response" that follows TargetName.
    answers.push(["TargetPortalGroupTag", String(PORTAL_GROUP)])
    return undefined
  }

  private authenticate(pairs: ReadonlyArray<Pair>, answers: Array<Pair>): LoginStep | undefined {
    const said = new Map(pairs)
    const offer = said.get("AuthMethod")
    if (offer !== undefined) {
      if (this.seen.has("AuthMethod")) return this.refuse(LOGIN_INITIATOR_ERROR, "AuthMethod was negotiated twice")
      this.seen.add("AuthMethod")
      const method = methodOf(this.proof, offer.split(","))
      if (method === undefined) {
        const takes = this.proof.required ? "CHAP" : "None"
        return this.refuse(LOGIN_AUTHENTICATION, `the target takes AuthMethod ${takes}, the initiator offers ${offer}`)
      }
      answers.push(["AuthMethod", method])
      if (method === "CHAP") this.chap = new Chap(this.proof.secrets, this.policy.random)
    }
    if (this.chap === undefined || this.proven) return undefined
    const step = this.chap.step(said)
    if (step.kind === "failed") return this.refuse(LOGIN_AUTHENTICATION, step.why)
    this.proven = step.kind === "done"
    answers.push(...step.answer)
    return undefined
  }

  private respond(flags: number, pairs: ReadonlyArray<Pair>): LoginStep {
    return { kind: "answer", response: this.encode(flags, LOGIN_SUCCESS, pairs) }
  }

  private encode(flags: number, status: number, pairs: ReadonlyArray<Pair>): Buffer {
    const response = encodeLoginResponse({
      flags,
      isid: this.isid,
      tsih: this.tsih,
      itt: this.itt,
      statSN: this.statSN,
      expCmdSN: this.expCmdSN,
      maxCmdSN: (this.expCmdSN + this.policy.windowCommands - 1) >>> 0,
      status,
      text: encodeText(pairs),
    })
    this.statSN = next(this.statSN)
    return response
  }
}

/** Undefined: what is offered will not do. */
const methodOf = ({ secrets, preferred, required }: Proof, offer: ReadonlyArray<string>): string | undefined => {
  const chap = secrets.length > 0 && offer.includes("CHAP")
  if (chap && (preferred || required)) return "CHAP"
  if (!required && offer.includes("None")) return "None"
  return chap ? "CHAP" : undefined
}

/** Keys that say who and what (§13.4, §13.5, §13.21), and those of authentication (§12). */
const namesOnly = new Set(["InitiatorName", "TargetName", "SessionType"])
const security = new Set(["AuthMethod", "CHAP_A", "CHAP_I", "CHAP_C", "CHAP_N", "CHAP_R"])
