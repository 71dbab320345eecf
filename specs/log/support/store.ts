/**
 * Temporary stores for the specs of the log: made, opened, filled and thrown away.
 */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { ClassicLevel } from "classic-level"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { createStore } from "../../../core/log/create-store.ts"
import type { MakeDatabase } from "../../../core/log/database.ts"
import type { Appended, AppendRequest, EventLog, NewEvent } from "../../../core/log/event-log.ts"
import { type LevelLog, openLevelLog } from "../../../core/log/level-log.ts"
import { makeUpcaster } from "../../../core/log/upcast.ts"
import { random } from "./random.ts"

export const database: MakeDatabase = (location, options) =>
  new ClassicLevel<string, Buffer>(location, { ...options, keyEncoding: "utf8", valueEncoding: "buffer" })

/** The same with LevelDB's smallest write buffer, so that logs change and tables are compacted after some hundred events. */
export const smallDatabase: MakeDatabase = (location, options) =>
  new ClassicLevel<string, Buffer>(location, {
    ...options,
    keyEncoding: "utf8",
    valueEncoding: "buffer",
    writeBufferSize: 65_536,
  })

export const upcaster = makeUpcaster({ current: { Noted: 1 } })

export const temporary = (name = "log"): string => mkdtempSync(join(tmpdir(), `imagelink-${name}-`))
export const discard = (dir: string): void => rmSync(dir, { recursive: true, force: true })

/** Makes a store in a new folder, always the same one. */
export const newStore = async (name?: string): Promise<string> => {
  const dir = temporary(name)
  await Effect.runPromise(
    createStore(dir, { site: "lab.example", now: 1_795_000_000_000, random: random(1).bytes, database }),
  )
  return dir
}

export interface Opened {
  readonly log: LevelLog
  close(): Promise<void>
}

export const open = async (dir: string, options: Partial<Parameters<typeof openLevelLog>[0]> = {}): Promise<Opened> => {
  const scope = Effect.runSync(Scope.make())
  const opening = openLevelLog({ dir, database, upcaster, server: "srv1", ...options }).pipe(Scope.provide(scope))
  const log = await Effect.runPromise(opening)
  return { log, close: () => Effect.runPromise(Scope.close(scope, Exit.void)) }
}

/** Opens, runs and closes, whatever happens. */
export const withLog = async <A>(dir: string, use: (log: LevelLog) => Promise<A>): Promise<A> => {
  const { log, close } = await open(dir)
  try {
    return await use(log)
  } finally {
    await close()
  }
}

export const noted = (text: string): NewEvent => ({ type: "Noted", schemaVersion: 1, data: { text } })

/** The nth command id of the specs. */
export const commandId = (n: number): string => `0190b3a4-5c6d-7000-8000-${n.toString(16).padStart(12, "0")}`

export const request = (n: number, log: Pick<EventLog, "head">, more: Partial<AppendRequest> = {}): AppendRequest => ({
  command: commandId(n),
  fingerprint: `f${n}`,
  at: 1_795_000_000_000 + n,
  actor: { kind: "cli", name: "alice" },
  expectedPosition: log.head(),
  events: [noted(`event of command ${n}`)],
  ...more,
})

export const append = (log: LevelLog, n: number, more: Partial<AppendRequest> = {}): Promise<Appended> =>
  Effect.runPromise(log.append(request(n, log, more)))

/** Every event, through `each`. */
export const readAll = async (log: LevelLog) => {
  const events: Array<unknown> = []
  await Effect.runPromise(log.each(0, log.head(), (batch) => events.push(...batch) > 0))
  return events
}
