/**
 * Asks a plugin for something slow: counted, with a deadline, and with whatever goes wrong turned into one of our errors.
 *
 *     waiting ──► settled      in time: the caller has the answer
 *        │
 *        └──────► stuck ──► settled      late: the caller had IO_ERROR, and the answer is dropped
 *
 * **Details** A request that is stuck is remembered until it settles, because until then the plugin may still do what it was asked for.
 */
import { fail, type ImagelinkError } from "../errors.ts"
import { limits } from "../limits.ts"
import { contain, type Request, type Where } from "./contain.ts"
import { Deadlines, nodeTicks, type Ticks } from "./deadlines.ts"

/** How long each sort of request may take, and what drives the time; given by specs. */
export interface Patience {
  readonly openSeconds: number
  readonly readSeconds: number
  readonly writeSeconds: number
  readonly ticks: Ticks
}

export const pluginPatience: Patience = {
  openSeconds: limits.pluginOpenSecondsMax,
  readSeconds: limits.pluginReadSecondsMax,
  writeSeconds: limits.pluginWriteSecondsMax,
  ticks: nodeTicks,
}
/** A format waits for its storage, whose own deadline shall come first: it knows better who is slow. */
export const formatPatience: Patience = {
  openSeconds: limits.formatSecondsMax,
  readSeconds: limits.formatSecondsMax,
  writeSeconds: limits.formatSecondsMax,
  ticks: nodeTicks,
}

export interface Asked<A> {
  readonly caller?: AbortSignal | undefined
  /** For messages, where it is not the asker's. */
  readonly where?: Where
  /** Takes an answer that nobody waits for any more. */
  readonly late?: (answer: A) => void
}

export class Asker {
  /** Requests that were given up and have not settled. */
  readonly stuck = new Set<Request>()
  readonly #where: Where
  readonly #reads: Deadlines
  readonly #writes: Deadlines
  #inFlight = 0
  #idle: (() => void) | undefined
  #released: (() => void) | undefined

  /** `resting` is called when nothing was asked for a while. */
  constructor(where: Where, patience: Patience, resting?: () => void) {
    this.#where = where
    this.#reads = new Deadlines(patience.readSeconds, patience.ticks, resting)
    this.#writes = new Deadlines(patience.writeSeconds, patience.ticks, resting)
  }

  /** @throws what `contain` makes of the plugin's error; IO_ERROR when the deadline passes; CANCELLED when `caller` is aborted already */
  ask<A>(
    request: Request,
    ask: (signal: AbortSignal) => A | Promise<A>,
    { caller, where = this.#where, late }: Asked<A> = {},
  ): Promise<A> {
    if (caller?.aborted) return Promise.reject(fail("CANCELLED", { what: `a ${request.need} of ${where.path}` }))
    const deadlines = request.need === "read" ? this.#reads : this.#writes
    return new Promise((resolve, reject) => {
      const waiting = {
        expire: () => {
          this.stuck.add(request)
          this.#left()
          reject(tooLate(where, request, deadlines.seconds))
        },
      }
      const period = deadlines.begin(waiting)
      this.#inFlight += 1
      /** Whether the caller still waits. */
      const settled = (): boolean => {
        if (this.stuck.delete(request)) {
          if (this.stuck.size === 0) this.#released?.()
          return false
        }
        deadlines.end(period, waiting)
        this.#left()
        return true
      }
      const failed = (thrown: unknown) => {
        if (settled()) reject(unasked(contain(thrown, where, request), where, request, caller))
      }
      try {
        const answer = ask(period.signal(caller))
        const settling = answer instanceof Promise ? answer : Promise.resolve(answer)
        settling.then((value) => {
          if (settled()) resolve(value)
          else late?.(value)
        }, failed)
      } catch (thrown) {
        failed(thrown)
      }
    })
  }

  /** Settles when everybody who asked has an answer, which the deadlines see to. */
  async answered(): Promise<void> {
    if (this.#inFlight > 0) await new Promise<void>((resolve) => (this.#idle = resolve))
  }

  /** Calls `then` once what is stuck has settled, which may be never. */
  whenReleased(then: () => void): void {
    this.#released = then
  }

  #left(): void {
    this.#inFlight -= 1
    if (this.#inFlight === 0) this.#idle?.()
  }
}

/** A plugin that cancels what nobody cancelled has failed; a client would take it for a server that stops. */
const unasked = (error: ImagelinkError, { kind, path }: Where, { offset, length }: Request, caller?: AbortSignal) => {
  if (error.code !== "CANCELLED" || caller?.aborted) return error
  const range = { ...(offset === undefined ? {} : { offset }), ...(length === undefined ? {} : { length }) }
  const why = `the plugin ${kind} gave up by itself`
  return fail("IO_ERROR", { ...range, what: path, why }, { underlying: error })
}

const tooLate = ({ kind, path }: Where, { need, offset, length }: Request, seconds: number) => {
  const why = `the plugin ${kind} did not answer within ${seconds} seconds`
  const range = { ...(offset === undefined ? {} : { offset }), ...(length === undefined ? {} : { length }) }
  return fail("IO_ERROR", {
    ...range,
    what: path,
    why: need === "read" ? why : `${why}; it may still do what was asked`,
  })
}
