/**
 * CHAP: proving a shared secret without sending it (RFC 7143 §12.1.3, RFC 1994; algorithms 5 to 8 of the IANA registry).
 *
 *     initiator                          target
 *     CHAP_A=8,7,5               ─►
 *                                ◄─      CHAP_A=8  CHAP_I  CHAP_C
 *     CHAP_N  CHAP_R             ─►                                        one-way
 *     CHAP_N  CHAP_R  CHAP_I CHAP_C ─►                                     mutual
 *                                ◄─      CHAP_N  CHAP_R
 *
 * **Details** The first algorithm of the offer that we know is taken. A challenge is as long as the digest. An initiator that sends our own
 * challenge back is a reflection and fails (§12.1.3: "MUST be ... different"); so does one whose challenge is too long or empty.
 * Comparisons take the same time whatever differs.
 */
import { createHash, timingSafeEqual } from "node:crypto"
import { limits } from "../../core/limits.ts"
import { hexBinary, type Pair, parseBinary, parseNumber } from "./text.ts"

export interface Secret {
  readonly user: string
  readonly secret: Uint8Array
  /** What the target proves of itself, when the initiator asks. */
  readonly mutual?: { readonly user: string; readonly secret: Uint8Array }
}

const algorithms: Readonly<Record<string, { readonly hash: string; readonly bytes: number }>> = {
  "5": { hash: "md5", bytes: 16 },
  "6": { hash: "sha1", bytes: 20 },
  "7": { hash: "sha256", bytes: 32 },
  "8": { hash: "sha3-256", bytes: 32 },
}

/** RFC 1994 §4.1: the hash over identifier, secret and challenge. */
export const chapResponse = (algorithm: string, id: number, secret: Uint8Array, challenge: Uint8Array): Buffer =>
  createHash(algorithms[algorithm]!.hash)
    .update(Buffer.from([id]))
    .update(secret)
    .update(challenge)
    .digest()

export type ChapStep =
  | { readonly kind: "more" | "done"; readonly answer: ReadonlyArray<Pair> }
  | { readonly kind: "failed"; readonly why: string }

const failed = (why: string): ChapStep => ({ kind: "failed", why })

export class Chap {
  private readonly secrets: ReadonlyArray<Secret>
  private readonly random: (bytes: number) => Uint8Array
  /** Who proved its secret. */
  user: string | undefined
  private algorithm: string | undefined
  private id = 0
  private challenge: Uint8Array = new Uint8Array(0)

  /** Any of these will do; `CHAP_N` says which is meant. */
  constructor(secrets: ReadonlyArray<Secret>, random: (bytes: number) => Uint8Array) {
    this.secrets = secrets
    this.random = random
  }

  step(pairs: ReadonlyMap<string, string>): ChapStep {
    if (this.algorithm === undefined) return this.begin(pairs.get("CHAP_A"))
    return this.judge(pairs)
  }

  private begin(offer: string | undefined): ChapStep {
    if (offer === undefined) return { kind: "more", answer: [] }
    const algorithm = offer.split(",").find((a) => Object.hasOwn(algorithms, a))
    if (algorithm === undefined) return failed(`no CHAP algorithm of ${offer} is known`)
    this.algorithm = algorithm
    this.id = this.random(1)[0]!
    this.challenge = this.random(algorithms[algorithm]!.bytes)
    return {
      kind: "more",
      answer: [
        ["CHAP_A", algorithm],
        ["CHAP_I", String(this.id)],
        ["CHAP_C", hexBinary(this.challenge)],
      ],
    }
  }

  private judge(pairs: ReadonlyMap<string, string>): ChapStep {
    const user = pairs.get("CHAP_N")
    const response = parseBinary(pairs.get("CHAP_R") ?? "")
    if (user === undefined || response === undefined) return failed("CHAP_N or CHAP_R is missing")
    const right = this.secrets.filter((secret) => this.answers(response, secret))
    if (!this.secrets.some((s) => s.user === user))
      return failed(`CHAP user ${JSON.stringify(user)} is not the one of this target`)
    const secret = right.find((s) => s.user === user)
    if (secret === undefined) return failed(`the CHAP secret of ${JSON.stringify(user)} is wrong`)
    this.user = user
    return this.proveOurselves(pairs, secret)
  }

  private answers(response: Uint8Array, { secret }: Secret): boolean {
    const expected = chapResponse(this.algorithm!, this.id, secret, this.challenge)
    return response.length === expected.length && timingSafeEqual(response, expected)
  }

  private proveOurselves(pairs: ReadonlyMap<string, string>, { mutual }: Secret): ChapStep {
    const id = pairs.get("CHAP_I")
    const text = pairs.get("CHAP_C")
    if (id === undefined && text === undefined) return { kind: "done", answer: [] }
    const number = parseNumber(id ?? "")
    const challenge = parseBinary(text ?? "")
    if (
      number === undefined ||
      number > 255 ||
      challenge === undefined ||
      challenge.length > limits.iscsiChallengeBytesMax
    )
      return failed("the initiator's challenge is none")
    if (Buffer.compare(challenge, this.challenge) === 0) return failed("the initiator sent our own challenge back")
    if (mutual === undefined) return failed("the initiator asks for mutual CHAP, and no secret is set for it")
    const response = chapResponse(this.algorithm!, number, mutual.secret, challenge)
    return {
      kind: "done",
      answer: [
        ["CHAP_N", mutual.user],
        ["CHAP_R", hexBinary(response)],
      ],
    }
  }
}
