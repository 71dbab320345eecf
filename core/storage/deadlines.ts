/**
 * Ends requests that a plugin never answers, with one coarse timer for all of them.
 *
 * **Details** Requests that began in the same period wait in one set and share one AbortSignal, because they expire together: a request costs an
 * entry in a set, neither a timer nor a signal of its own. The timer runs while something waits, and one period longer. A request expires after
 * `seconds`, at most one period later.
 */

const PERIODS = 16

/** The part of Node's timer that is used: held only while something waits, so that it never keeps a process alive for nothing. */
export interface Ticking {
  ref(): unknown
  unref(): unknown
  stop(): void
}

/** Calls `tick` every so many milliseconds. */
export type Ticks = (tick: () => void, millis: number) => Ticking

export const nodeTicks: Ticks = (tick, millis) => {
  const timer = setInterval(tick, millis)
  return { ref: () => timer.ref(), unref: () => timer.unref(), stop: () => clearInterval(timer) }
}

/** One request that waits. */
export interface Waiting {
  /** Called once, if the deadline passes first. */
  readonly expire: () => void
}

/** What began in one period. */
export class Period {
  readonly waiting = new Set<Waiting>()
  #controller: AbortController | undefined
  #joined: WeakMap<AbortSignal, AbortSignal> | undefined

  /** Aborts when this period's requests expire, and with `caller`, if there is one. */
  signal(caller: AbortSignal | undefined): AbortSignal {
    this.#controller ??= new AbortController()
    const own = this.#controller.signal
    if (caller === undefined) return own
    this.#joined ??= new WeakMap()
    const known = this.#joined.get(caller)
    if (known !== undefined) return known
    const joined = AbortSignal.any([own, caller])
    this.#joined.set(caller, joined)
    return joined
  }

  expire(): void {
    if (this.waiting.size === 0) return
    const late = [...this.waiting]
    this.waiting.clear()
    for (const one of late) one.expire()
    this.#controller?.abort(new DOMException("the deadline has passed", "TimeoutError"))
  }
}

export class Deadlines {
  readonly seconds: number
  readonly #ticks: Ticks
  readonly #idle: () => void
  #timer: Ticking | undefined
  #periods: Array<Period> = []
  #now = new Period()
  #count = 0

  /** `idle` is called when nothing has waited for a whole period. */
  constructor(seconds: number, ticks: Ticks, idle: () => void = () => {}) {
    this.seconds = seconds
    this.#ticks = ticks
    this.#idle = idle
  }

  /** Begins to wait; the answer is what `end` takes, and where the request's signal is. */
  begin(waiting: Waiting): Period {
    this.#now.waiting.add(waiting)
    this.#count += 1
    if (this.#timer === undefined) this.#timer = this.#ticks(() => this.#tick(), (this.seconds * 1000) / PERIODS)
    else if (this.#count === 1) this.#timer.ref()
    return this.#now
  }

  end(period: Period, waiting: Waiting): void {
    if (!period.waiting.delete(waiting)) return
    this.#ended(1)
  }

  #tick(): void {
    if (this.#count === 0 && this.#now.waiting.size === 0 && this.#periods.length === 0) {
      this.#timer?.stop()
      this.#timer = undefined
      this.#idle()
      return
    }
    this.#periods.push(this.#now)
    this.#now = new Period()
    if (this.#periods.length > PERIODS) {
      const first = this.#periods.shift()!
      const late = first.waiting.size
      first.expire()
      this.#ended(late)
    }
    while (this.#periods[0]?.waiting.size === 0) this.#periods.shift()
  }

  #ended(count: number): void {
    this.#count -= count
    if (this.#count === 0) this.#timer?.unref()
  }
}
