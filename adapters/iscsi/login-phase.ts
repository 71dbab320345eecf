/**
 * The login of one connection (RFC 7143 §6.3): its requests go to the state machine (login.ts), and what that says is done.
 *
 *     answered       the next request is awaited
 *     refused        told, and the connection closes; who is refused often is told later
 *     redirected     told where to, and the connection closes
 *     admission      handed on, while nothing more is taken; it ends with `accept` or `refuse`
 */
import type { ErrorCode } from "../../core/errors.ts"
import { limits } from "../../core/limits.ts"
import { Login, type LoginPolicy, type LoginStep, type Wanted } from "./login.ts"
import * as pdu from "./pdu.ts"
import type { Happening } from "./portal.ts"
import type { Refusals } from "./refusals.ts"

export interface LoginPhaseInput {
  readonly policy: LoginPolicy
  readonly refusals: Refusals
  /** Address of who logs in. */
  readonly peer: string
  readonly refusalDelaySeconds: number
  readonly write: (bytes: Uint8Array) => void
  /** After what was written has left. */
  readonly close: (why: string) => void
  readonly destroy: () => void
  /** Calls once, later, unless the connection ends before. */
  readonly after: (millis: number, act: () => void) => void
  readonly report: (event: Happening) => void
  readonly admit: (wanted: Wanted) => void
}

export class LoginPhase {
  readonly login: Login
  private readonly input: LoginPhaseInput
  private pdus = 0
  /** It was refused, and is told later. */
  delaying = false

  constructor(input: LoginPhaseInput) {
    this.input = input
    this.login = new Login(input.policy)
  }

  pdu(head: Uint8Array, h: number, data: Uint8Array): void {
    if ((head[h]! & pdu.OPCODE_MASK) === pdu.LOGIN && ++this.pdus <= limits.iscsiLoginPdusMax) {
      this.follow(this.login.request(head.subarray(h), data))
      return
    }
    // §6.3: only login requests come before the session runs; nothing else is answered.
    this.input.close("something other than a login came first")
    this.input.destroy()
  }

  /** What was asked for is not to be had. */
  refuse(status: number, why: string, code?: ErrorCode): void {
    const step = this.login.refuse(status, why)
    if (step.kind === "refused") this.tell(step.response, status, why, code)
  }

  private follow(step: LoginStep): void {
    const { write, close, report, admit } = this.input
    if (step.kind === "answer") write(step.response)
    else if (step.kind === "refused") this.tell(step.response, step.status, step.why)
    else if (step.kind === "admission") admit(step.wanted)
    else {
      const { status, portal } = step.to
      report({ type: "redirected", ...this.login.who, status, portal })
      write(step.response)
      close(`the initiator was sent to ${portal}`)
    }
  }

  private tell(response: Uint8Array, status: number, why: string, code?: ErrorCode): void {
    const { refusals, peer, refusalDelaySeconds, write, close, after, report } = this.input
    const unsaid = refusals.say(peer)
    if (unsaid !== undefined) {
      const { initiator, target } = this.login.who
      report({ type: "refused", initiator, target, status, why, unsaid, ...(code === undefined ? {} : { code }) })
    }
    const answer = () => {
      write(response)
      close(`the login was refused: ${why}`)
    }
    if (unsaid !== undefined || refusalDelaySeconds === 0) answer()
    else {
      this.delaying = true
      after(refusalDelaySeconds * 1000, answer)
    }
  }
}
