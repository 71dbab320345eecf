/** What the parts of a starting server share: what it was told, what is open, and what is to be closed again, in turn. */
import { hostname } from "node:os"
import type { ImagelinkError } from "../core/errors.ts"
import type { ServeConfig } from "../core/runtime/config.ts"
import { HandedSockets } from "../core/runtime/handed-over.ts"
import { errorAbout, type LogLine } from "../core/runtime/log-line.ts"
import { makeServerCounts, type ServerCounts } from "../core/runtime/metrics/server-counts.ts"
import type { OpenedSite } from "./compose.ts"

/** A line of the server's own log. */
export type ServerEvent = LogLine

export interface ServerOptions {
  readonly dataDir: string
  readonly config: ServeConfig
  readonly onEvent: (event: ServerEvent) => void
  /** Sockets that a service manager opened; what is served takes its own. */
  readonly sockets?: HandedSockets
}

/** Protocol to where it is heard. */
export type Listeners = Readonly<Record<string, string>>

/** A server that is starting. */
export class Run {
  readonly dataDir: string
  readonly config: ServeConfig
  readonly onEvent: ServerOptions["onEvent"]
  readonly sockets: HandedSockets
  readonly opened: OpenedSite
  readonly counts: ServerCounts = makeServerCounts()
  readonly #listening = new Map<string, () => boolean>()
  readonly #closers: Array<() => Promise<void>> = []

  constructor({ dataDir, config, onEvent, sockets = new HandedSockets() }: ServerOptions, opened: OpenedSite) {
    this.dataDir = dataDir
    this.config = config
    this.onEvent = onEvent
    this.sockets = sockets
    this.opened = opened
  }

  /** What is closed before all that was given earlier. */
  closing(...stops: ReadonlyArray<() => Promise<void>>): void {
    this.#closers.push(...stops)
  }

  /** A listener, and whether it still hears its peers. */
  listening(name: string, listens: () => boolean): void {
    this.#listening.set(name, listens)
  }

  /** Listeners that do not. */
  deaf(): ReadonlyArray<string> {
    return [...this.#listening].filter(([, listens]) => !listens()).map(([name]) => name)
  }

  async close(): Promise<void> {
    for (const stop of this.#closers.splice(0).reverse()) await stop()
  }

  readonly problem = (text: string): void => this.onEvent({ level: "error", text })
  /** With what was `done` in spite of it. */
  readonly failed = (error: ImagelinkError, done = ""): void => {
    const { message, code, reason, fix } = error
    const text = `${message} [${code}]; ${reason}; ${done}fix: ${fix}`
    this.onEvent({ level: "error", text, about: errorAbout(error) })
  }
}

/** Who acts where nobody asked. */
export const serverActor = { kind: "server", name: hostname() } as const

export const later = (run: () => void, millis: number): (() => void) => {
  const timer = setTimeout(run, millis)
  return () => clearTimeout(timer)
}

export const isWildcard = (address: string): boolean => address === "0.0.0.0" || address === "::"

export const portOf = (at: string | undefined): number | undefined =>
  at === undefined ? undefined : Number(at.slice(at.lastIndexOf(":") + 1))
