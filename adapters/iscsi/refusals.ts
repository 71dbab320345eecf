/**
 * Which refused logins are told: the first few of an address within a minute, then how many were not.
 *
 * **Details** A PC whose disk is gone asks again every few seconds for hours; its log line should not push out everybody else's. Addresses are
 * forgotten with their minute, and at most so many are kept.
 */
import { limits } from "../../core/limits.ts"

const MINUTE_MILLIS = 60_000
const ADDRESSES_MAX = 10_000

interface Minute {
  begun: number
  told: number
  unsaid: number
}

export class Refusals {
  private readonly now: () => number
  private readonly byAddress = new Map<string, Minute>()

  /** `now` in milliseconds. */
  constructor(now: () => number) {
    this.now = now
  }

  /** Undefined: say nothing. Else how many were not told since the last that was. */
  say(address: string): number | undefined {
    const now = this.now()
    const minute = this.byAddress.get(address)
    if (minute === undefined || now - minute.begun >= MINUTE_MILLIS) {
      if (this.byAddress.size >= ADDRESSES_MAX) this.byAddress.clear()
      this.byAddress.set(address, { begun: now, told: 1, unsaid: 0 })
      return minute?.unsaid ?? 0
    }
    if (minute.told < limits.iscsiRefusalsShownPerMinute) {
      minute.told++
      return 0
    }
    minute.unsaid++
    return undefined
  }
}
