/**
 * The operational keys and the rule by which each is negotiated (RFC 7143 §13, §6.2).
 *
 * | rule       | result                                         | keys                                                     |
 * | ---------- | ---------------------------------------------- | -------------------------------------------------------- |
 * | list       | the first of the offer that we know            | HeaderDigest DataDigest TaskReporting                    |
 * | or         | Yes if either side says Yes                    | InitialR2T DataPDUInOrder DataSequenceInOrder            |
 * | and        | Yes if both sides say Yes                      | ImmediateData                                            |
 * | min, max   | the smaller, the larger of both numbers        | MaxConnections MaxBurstLength … DefaultTime2Wait (max)   |
 * | declared   | each side says its own; no answer              | MaxRecvDataSegmentLength InitiatorAlias X#NodeArchitecture |
 * | refused    | Reject: of the target alone, or of a session that runs | TargetAlias TargetAddress TargetPortalGroupTag SendTargets |
 * | obsolete   | IFMarker OFMarker: No; the two intervals: Reject (§13.25) |                                               |
 *
 * **Details** A value that the key does not allow is answered `Reject` and the key keeps its default; an unknown key is answered
 * `NotUnderstood`. FirstBurstLength may not exceed MaxBurstLength (§13.14), so it is settled last.
 */
import { limits } from "../../core/limits.ts"
import { type Pair, parseNumber } from "./text.ts"

/** What was agreed for a session. */
export interface Agreed {
  headerDigest: boolean
  dataDigest: boolean
  initialR2T: boolean
  immediateData: boolean
  /** How long a data segment the initiator takes. */
  sendSegmentBytesMax: number
  maxBurstBytes: number
  firstBurstBytes: number
  defaultTime2Wait: number
  defaultTime2Retain: number
  maxOutstandingR2T: number
  dataPduInOrder: boolean
  dataSequenceInOrder: boolean
  protocolLevel: number
}

/** The defaults of §13, which hold for whatever nobody mentions. */
export const defaults = (): Agreed => ({
  headerDigest: false,
  dataDigest: false,
  initialR2T: true,
  immediateData: true,
  sendSegmentBytesMax: 8192,
  maxBurstBytes: 262_144,
  firstBurstBytes: 65_536,
  defaultTime2Wait: 2,
  defaultTime2Retain: 20,
  maxOutstandingR2T: 1,
  dataPduInOrder: true,
  dataSequenceInOrder: true,
  protocolLevel: 1,
})

type Rule = (value: string, agreed: Agreed) => string | undefined
const REJECT = "Reject"

const either =
  (ours: boolean, result: (a: boolean, b: boolean) => boolean, put: (a: Agreed, v: boolean) => void): Rule =>
  (value, agreed) => {
    if (value !== "Yes" && value !== "No") return REJECT
    const agree = result(value === "Yes", ours)
    put(agreed, agree)
    return agree ? "Yes" : "No"
  }
const or = (a: boolean, b: boolean) => a || b
const and = (a: boolean, b: boolean) => a && b

const number =
  (
    least: number,
    most: number,
    ours: number,
    pick: (a: number, b: number) => number,
    put: (a: Agreed, v: number) => void,
  ): Rule =>
  (value, agreed) => {
    const n = parseNumber(value)
    if (n === undefined || n < least || n > most) return REJECT
    const agree = pick(n, ours)
    put(agreed, agree)
    return String(agree)
  }

const digest =
  (put: (a: Agreed, v: boolean) => void): Rule =>
  (value, agreed) => {
    const choice = value.split(",").find((v) => v === "None" || v === "CRC32C")
    if (choice === undefined) return REJECT
    put(agreed, choice === "CRC32C")
    return choice
  }

const nothing = () => {}
/** Declared, and of no consequence here: who logged in is known by its name. */
const taken = () => undefined
const refused = () => REJECT

const rules: Readonly<Record<string, Rule>> = {
  HeaderDigest: digest((a, v) => (a.headerDigest = v)),
  DataDigest: digest((a, v) => (a.dataDigest = v)),
  MaxConnections: number(1, 65_535, 1, Math.min, nothing),
  InitialR2T: either(false, or, (a, v) => (a.initialR2T = v)),
  ImmediateData: either(true, and, (a, v) => (a.immediateData = v)),
  MaxBurstLength: number(512, 16_777_215, limits.iscsiBurstBytesMax, Math.min, (a, v) => (a.maxBurstBytes = v)),
  FirstBurstLength: number(
    512,
    16_777_215,
    limits.iscsiFirstBurstBytesMax,
    Math.min,
    (a, v) => (a.firstBurstBytes = v),
  ),
  DefaultTime2Wait: number(0, 3600, 0, Math.max, (a, v) => (a.defaultTime2Wait = v)),
  DefaultTime2Retain: number(0, 3600, 0, Math.min, (a, v) => (a.defaultTime2Retain = v)),
  MaxOutstandingR2T: number(1, 65_535, limits.iscsiOutstandingR2TMax, Math.min, (a, v) => (a.maxOutstandingR2T = v)),
  DataPDUInOrder: either(false, or, (a, v) => (a.dataPduInOrder = v)),
  DataSequenceInOrder: either(false, or, (a, v) => (a.dataSequenceInOrder = v)),
  ErrorRecoveryLevel: number(0, 2, 0, Math.min, nothing),
  TaskReporting: (value) => value.split(",").find((v) => v === "RFC3720") ?? REJECT,
  iSCSIProtocolLevel: number(0, 31, 2, Math.min, (a, v) => (a.protocolLevel = v)),
  IFMarker: () => "No",
  OFMarker: () => "No",
  IFMarkInt: refused,
  OFMarkInt: refused,
  InitiatorAlias: taken,
  "X#NodeArchitecture": taken,
  TargetAlias: refused,
  TargetAddress: refused,
  TargetPortalGroupTag: refused,
  SendTargets: refused,
}

/** Keys that an initiator may say once the session runs (§13: use "ALL"); the rest are of the leading login alone. */
const anyTime: ReadonlySet<string> = new Set(["MaxRecvDataSegmentLength", "InitiatorAlias"])
const everyKey: ReadonlySet<string> = new Set([...Object.keys(rules), ...anyTime])
/** What a login settles apart from these: who asks for what, and its proof (§12, §13.4, §13.5, §13.21). */
const ofLogin: ReadonlySet<string> = new Set(["InitiatorName", "TargetName", "SessionType", "AuthMethod"])

/** One pair that is said while the session runs (§11.10), and what to answer: a key of the leading login is not negotiated anew. */
export const declareAgain = (pair: Pair, agreed: Agreed): ReadonlyArray<Pair> => {
  const [key] = pair
  if (anyTime.has(key)) return negotiate([pair], agreed, new Set()) ?? []
  return [[key, everyKey.has(key) || ofLogin.has(key) ? REJECT : "NotUnderstood"]]
}

/**
 * Settles the pairs of one request against what is agreed so far, which it changes, and answers what to say.
 *
 * `seen` holds the keys that were negotiated before; one that comes again is a protocol error (§6.2: "MUST NOT be renegotiated"),
 * answered as undefined.
 */
export const negotiate = (
  pairs: ReadonlyArray<Pair>,
  agreed: Agreed,
  seen: Set<string>,
): ReadonlyArray<Pair> | undefined => {
  const answers: Array<Pair> = []
  for (const [key, value] of pairs) {
    if (seen.has(key) && everyKey.has(key)) return undefined
    seen.add(key)
    if (key === "MaxRecvDataSegmentLength") {
      const n = parseNumber(value)
      if (n !== undefined && n >= 512 && n <= 16_777_215) agreed.sendSegmentBytesMax = n
      else answers.push([key, REJECT])
      continue
    }
    const rule = rules[key]
    const answer = rule === undefined ? "NotUnderstood" : rule(value, agreed)
    if (answer !== undefined) answers.push([key, answer])
  }
  return settleBursts(answers, agreed)
}

const settleBursts = (answers: ReadonlyArray<Pair>, agreed: Agreed): ReadonlyArray<Pair> => {
  if (agreed.firstBurstBytes <= agreed.maxBurstBytes) return answers
  agreed.firstBurstBytes = agreed.maxBurstBytes
  return answers.map(([key, value]) =>
    key === "FirstBurstLength" && value !== REJECT ? [key, String(agreed.firstBurstBytes)] : [key, value],
  )
}
