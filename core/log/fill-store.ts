/**
 * Fills the database of a store that was just made with events that were recorded before, byte for byte, and makes the rest again from them.
 *
 *     event ─► its record      last event of a command ─► the command's index entry      last event ─► head
 *
 * **Details** The index of commands is not in the events: what a command asked is lost with it, so its entries have no fingerprint and a
 * command that is asked again is known by its id. Nobody may use the store meanwhile, and a process that dies leaves one that is not whole: so
 * it is filled before it gets its place.
 */
import { fail } from "../errors.ts"
import { type CommandEntry, encodeCommand } from "./command-index.ts"
import { type LogDatabase, type MakeDatabase, openDatabase } from "./database.ts"
import { parse, sealBytes } from "./envelope.ts"
import type { RecordedBytes } from "./event-log.ts"
import { openHead } from "./head.ts"
import { commandKey, eventKey } from "./keys.ts"
import { type StorePaths, storePaths } from "./store-files.ts"
import { type EventSource, eachEvent } from "./tiles/events.ts"

export interface FillOptions {
  readonly signal?: AbortSignal
  readonly onProgress?: (done: number, total: number) => void
}

/** Fills the empty store of the data folder `dir` with all of `source`. @throws STORE_DAMAGED CANCELLED */
export const fillStore = async (
  dir: string,
  make: MakeDatabase,
  source: EventSource,
  { signal, onProgress }: FillOptions = {},
): Promise<void> => {
  const paths = storePaths(dir)
  const database = await openDatabase(make, paths.database, false)
  try {
    const filling = new Filling(database, paths)
    const size = source.head()
    await eachEvent(source, 0, size, async (events) => {
      if (signal?.aborted) throw fail("CANCELLED", { what: "the restore" })
      await filling.add(events)
      onProgress?.(events.at(-1)!.position, size)
    })
    await filling.end()
  } finally {
    await database.close()
  }
}

class Filling {
  readonly database: LogDatabase
  readonly paths: StorePaths
  /** The command whose events come just now. */
  command: CommandEntry | undefined

  constructor(database: LogDatabase, paths: StorePaths) {
    this.database = database
    this.paths = paths
  }

  async add(events: ReadonlyArray<RecordedBytes>): Promise<void> {
    const operations = events.flatMap(({ position, bytes }) => {
      const before = this.command
      const { command } = (parse(bytes) ?? {}) as { readonly command?: string }
      if (command === undefined)
        throw fail("STORE_DAMAGED", { file: "event", why: `event ${position} names no command` })
      const goesOn = before?.command === command
      this.command = goesOn
        ? { ...before, count: before.count + 1 }
        : { command, count: 1, fingerprint: "", first: position }
      const record = put(eventKey(position), sealBytes(bytes))
      return before === undefined || goesOn ? [record] : [entry(before), record]
    })
    await this.database.batch(operations, encodings)
  }

  /** The last command's entry, synced with all that came before it; and the head. */
  async end(): Promise<void> {
    if (this.command === undefined) return
    const { command, count, first } = this.command
    await this.database.batch([entry(this.command)], { ...encodings, ...synced })
    const head = openHead(this.paths.head, { write: true })
    try {
      head.write(first + count - 1, command)
      head.sync()
    } finally {
      head.close()
    }
  }
}

const encodings = { keyEncoding: "utf8", valueEncoding: "buffer" } as const
const synced = { sync: true }
const put = (key: string, value: Uint8Array) => ({ type: "put" as const, key, value: value as Buffer })
const entry = (command: CommandEntry) => put(commandKey(command.command), encodeCommand(command))
