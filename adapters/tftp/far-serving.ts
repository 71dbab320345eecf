/**
 * Serves requests in another thread: this side, and that one.
 *
 *     Serve ─► (request, again, abandon, stop) ─► serveHere        ServingEvents ◄─ (started, refused, ended, heard, missed) ◄─
 *
 * **Details** A thread that waits for packets inside of the system (pump.ts) looks at messages when its event loop has a turn: after some milliseconds, at most ten.
 */
import type { MessagePort } from "node:worker_threads"
import type { BootPeer } from "../../core/runtime/boot-files.ts"
import type { TftpOption } from "./packet.ts"
import type { ReadRequest, Refusal, Serve, Serving, ServingEvents } from "./serving.ts"
import type { Outcome } from "./transfer.ts"

type Asked =
  | { readonly id: number; readonly type: "request"; readonly request: ReadRequest; readonly from: BootPeer }
  | { readonly id: number; readonly type: "again" | "abandon" | "stop" }

type Told =
  | {
      readonly id: number
      readonly type: "started"
      readonly sizeBytes: number
      readonly answers: ReadonlyArray<TftpOption>
    }
  | { readonly id: number; readonly type: "refused"; readonly refusal: Refusal }
  | { readonly id: number; readonly type: "ended"; readonly outcome: Outcome }
  /** Each answers one "again". */
  | { readonly id: number; readonly type: "heard" | "missed" }

/** Asks whoever is at the other end of a line (`serveAsked`). */
export const serveThere = (line: MessagePort): Serve => {
  const served = new Map<number, ServedThere>()
  const ask: Ask = (asked) => line.postMessage(asked)
  line.on("message", (told: Told) => {
    if (served.get(told.id)?.take(told)) served.delete(told.id)
  })
  let last = 0
  return (request, from, events) => {
    const id = ++last
    const serving = new ServedThere(id, ask, events)
    served.set(id, serving)
    ask({ id, type: "request", request, from })
    return serving
  }
}

type Ask = (asked: Asked) => void

class ServedThere implements Serving {
  readonly #id: number
  readonly #ask: Ask
  readonly #events: ServingEvents
  readonly #left = Promise.withResolvers<void>()
  /** How often its client asked again, and whether that was heard is not known. */
  #unanswered = 0
  #over = false

  constructor(id: number, ask: Ask, events: ServingEvents) {
    this.#id = id
    this.#ask = ask
    this.#events = events
  }

  askedAgain(): void {
    this.#unanswered++
    this.#ask({ id: this.#id, type: "again" })
  }
  abandon(): void {
    this.#ask({ id: this.#id, type: "abandon" })
  }
  stop(): Promise<void> {
    this.#ask({ id: this.#id, type: "stop" })
    return this.#left.promise
  }

  /** Whether nothing more comes. */
  take(told: Told): boolean {
    if (told.type === "started") this.#events.started(told.sizeBytes, told.answers)
    else if (told.type === "refused") this.#ended(() => this.#events.refused(told.refusal))
    else if (told.type === "ended") this.#ended(() => this.#events.ended(told.outcome))
    else {
      this.#unanswered--
      if (told.type === "missed") this.#events.missed()
    }
    return this.#over && this.#unanswered === 0
  }

  #ended(tell: () => void): void {
    this.#over = true
    this.#left.resolve()
    tell()
  }
}

/** The other end. */
export const serveAsked = (line: MessagePort, serve: Serve): void => {
  const served = new Map<number, Serving>()
  const say = (told: Told) => line.postMessage(told)
  const eventsOf = (id: number): ServingEvents => ({
    started: (sizeBytes, answers) => say({ id, type: "started", sizeBytes, answers }),
    refused: (refusal) => {
      served.delete(id)
      say({ id, type: "refused", refusal })
    },
    ended: (outcome) => {
      served.delete(id)
      say({ id, type: "ended", outcome })
    },
    missed: () => say({ id, type: "missed" }),
  })
  line.on("message", (asked: Asked) => {
    const { id, type } = asked
    const one = served.get(id)
    if (type === "request") served.set(id, serve(asked.request, asked.from, eventsOf(id)))
    else if (type === "abandon") one?.abandon()
    else if (type === "stop") void one?.stop()
    else {
      one?.askedAgain()
      say({ id, type: one === undefined ? "missed" : "heard" })
    }
  })
}
