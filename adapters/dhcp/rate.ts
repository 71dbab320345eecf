/**
 * How often one machine is answered: so many messages a second each, and a bound on how many strangers are remembered.
 *
 * **Details** Machines that are registered have places of their own, so that a flood of made-up MACs never takes one from them. What is counted
 * is forgotten every second.
 */
export interface RateLimits {
  /** Messages a second from one machine. */
  readonly perMachine: number
  /** Strangers a second; more of them are not answered until the next. */
  readonly strangers: number
}

export class Rate {
  readonly #limits: RateLimits
  #second = 0
  #known = new Map<string, number>()
  #strangers = new Map<string, number>()

  constructor(limits: RateLimits) {
    this.#limits = limits
  }

  /** Who is remembered now. */
  get strangers(): number {
    return this.#strangers.size
  }

  /** Counts a message; false when it is one too many. */
  admits(mac: string, registered: boolean, now: number): boolean {
    const second = Math.floor(now / 1000)
    if (second !== this.#second) {
      this.#second = second
      this.#known = new Map()
      this.#strangers = new Map()
    }
    const counts = registered ? this.#known : this.#strangers
    const before = counts.get(mac) ?? 0
    if (before === 0 && !registered && counts.size >= this.#limits.strangers) return false
    if (before >= this.#limits.perMachine) return false
    counts.set(mac, before + 1)
    return true
  }
}
