/** What the parts of a starting server share: what it was told, what is open, and what is to be closed again, in turn. */
import { hostname } from "node:os"
import { type ImagelinkError, isImagelinkError } from "../core/errors.ts"
import { effectiveConfig, type ServeConfig } from "../core/runtime/config.ts"
import type { ConfigFile, ConfigSource } from "../core/runtime/config-file.ts"
import { HandedSockets } from "../core/runtime/handed-over.ts"
import { errorAbout, type LogLine } from "../core/runtime/log-line.ts"
import { makeServerCounts, type ServerCounts } from "../core/runtime/metrics/server-counts.ts"
import { located } from "../core/runtime/refused-setting.ts"
import { changedSettings, liveConfig, type Reload, type Reloaded, settingsOf } from "../core/runtime/reload.ts"
import type { OpenedSite } from "./compose.ts"

/** A line of the server's own log. */
export type ServerEvent = LogLine

export interface ServerOptions {
  readonly dataDir: string
  readonly config: ServeConfig
  /** What `config` was made from; read again, it is what the server is told while it runs. */
  readonly sources?: Sources
  readonly onEvent: (event: ServerEvent) => void
  /** Sockets that a service manager opened; what is served takes its own. */
  readonly sockets?: HandedSockets
}

export interface Sources {
  readonly first: ReadonlyArray<ConfigSource>
  /** @throws CONFIG_INVALID */
  read(): Promise<ReadonlyArray<ConfigSource>>
}

/** Protocol to where it is heard. */
export type Listeners = Readonly<Record<string, string>>

/** A server that is starting. */
export class Run {
  readonly dataDir: string
  readonly onEvent: ServerOptions["onEvent"]
  readonly sockets: HandedSockets
  readonly opened: OpenedSite
  readonly counts: ServerCounts = makeServerCounts()
  readonly #listening = new Map<string, () => boolean>()
  readonly #closers: Array<() => Promise<void>> = []
  readonly #sources: Sources | undefined
  readonly #reloads: Array<Reload> = []
  #config: ServeConfig
  /** What it goes by, key by key. */
  #held: ConfigFile
  #reloading: Promise<unknown> = Promise.resolve()

  constructor({ dataDir, config, sources, onEvent, sockets = new HandedSockets() }: ServerOptions, opened: OpenedSite) {
    this.dataDir = dataDir
    this.#config = config
    this.#sources = sources
    this.#held = settingsOf(sources?.first ?? [])
    this.onEvent = onEvent
    this.sockets = sockets
    this.opened = opened
  }

  /** As it is now: whoever asks later may be told something else. */
  get config(): ServeConfig {
    return this.#config
  }

  /** Who judges settings that are read again, and turns to them. What only asks `config` each time needs nothing. */
  reloading(reload: Reload): void {
    this.#reloads.push(reload)
  }

  /** Reads the settings again, and says what came of it; one reading at a time. @throws CONFIG_INVALID FILE_UNREADABLE, and then everything is as it was */
  reload(): Promise<Reloaded> {
    const done = this.#reloading.then(() => this.#reload())
    this.#reloading = done.then(
      ({ applied, restart }) => {
        const text = applied.length === 0 ? "nothing changed that can" : `in force: ${applied.join(", ")}`
        this.onEvent({ level: "info", text: `the settings were read again; ${text}` })
        if (restart.length > 0) this.problem(`changed settings that need a restart: ${restart.join(", ")}`)
      },
      (e: unknown) =>
        isImagelinkError(e)
          ? this.failed(e, "the settings stay as they were; ")
          : this.problem(`no settings read: ${e}`),
    )
    return done
  }

  async #reload(): Promise<Reloaded> {
    const sources = (await this.#sources?.read()) ?? []
    const said = this.#sources === undefined ? this.#held : settingsOf(sources)
    const told = this.#sources === undefined ? this.#config : effectiveConfig(sources)
    const next = liveConfig(this.#config, told)
    const turns = []
    try {
      for (const reload of this.#reloads) turns.push(await reload(next))
    } catch (e) {
      throw located(sources, e)
    }
    const { applied, restart } = changedSettings(this.#held, said, this.#config, told)
    this.#config = next
    this.#held = { ...this.#held, ...Object.fromEntries(applied.map((key) => [key, said[key as keyof ConfigFile]])) }
    for (const turn of turns) turn.apply()
    return { applied: [...new Set([...applied, ...turns.flatMap((turn) => turn.read ?? [])])], restart }
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
