/**
 * Whether an initiator is there now: a ping asks, and what comes back must have been sent by somebody who received something that was sent after it.
 *
 *     NOP-In, with a tag of its own ─► NOP-Out with that tag (RFC 7143 §11.18)
 *                                      or any PDU whose ExpStatSN counts a status that was sent since
 *
 * **Details** A computer that was reset received nothing since, so neither is ever its, however late what it sent before arrives. The second is for firmware,
 * which answers no pings; it shows that it is there as soon as it has two commands more.
 */
import { readU32 } from "../../core/bytes.ts"
import * as pdu from "./pdu.ts"
import type { Sender } from "./sender.ts"

/** Of pings that only ask for any sign. */
export const PING_TAG = 1

interface Question {
  readonly tag: number
  /** Of the first status that is sent after it. */
  readonly statSN: number
  readonly answered: (alive: boolean) => void
}

export class SignsOfLife {
  private readonly sender: Sender
  private readonly open = new Set<Question>()
  private tag = PING_TAG
  private ended = false
  /** Something came since the last `tick`. */
  heard = true
  private pinged = false
  private answersPings = false

  constructor(sender: Sender) {
    this.sender = sender
  }

  /**
   * Called every so often: a quiet initiator is pinged. False: it was, answered pings before, and says nothing any more. One that never answered
   * one is firmware, and lives on.
   */
  tick(): boolean {
    const quiet = !this.heard
    this.heard = false
    if (quiet && this.pinged && this.answersPings) return false
    if (quiet) this.ping(PING_TAG)
    this.pinged = quiet
    return true
  }

  get asked(): boolean {
    return this.open.size > 0
  }

  /** Settles with true when it is answered, with false when the session has ended or the signal has. */
  ask(signal: AbortSignal): Promise<boolean> {
    if (this.ended || signal.aborted) return Promise.resolve(false)
    const tag = (this.tag = this.tag + 1 === pdu.NO_TAG ? PING_TAG + 1 : this.tag + 1)
    const { promise, resolve } = Promise.withResolvers<boolean>()
    const gone = (): void => question.answered(false)
    const question: Question = {
      tag,
      statSN: this.sender.statSN,
      answered: (alive) => {
        signal.removeEventListener("abort", gone)
        this.open.delete(question)
        resolve(alive)
      },
    }
    this.open.add(question)
    signal.addEventListener("abort", gone, { once: true })
    this.ping(tag)
    return promise
  }

  /** A PDU came: every one of the initiator's has its ExpStatSN in the same place (§11.2.1). */
  see(head: Uint8Array, h: number): void {
    const expStatSN = readU32(head, h + 28)
    for (const question of [...this.open]) if (pdu.before(question.statSN, expStatSN)) question.answered(true)
  }

  /** An answer to a ping. */
  pong(tag: number): void {
    this.answersPings = true
    for (const question of [...this.open]) if (question.tag === tag) question.answered(true)
  }

  end(): void {
    this.ended = true
    for (const question of [...this.open]) question.answered(false)
  }

  /** RFC 7143 §11.19: an unsolicited NOP-In, which asks for an answer. */
  private ping(tag: number): void {
    this.sender.nopIn(pdu.NO_TAG, tag, new Uint8Array(8), new Uint8Array(0))
  }
}
