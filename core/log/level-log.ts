/**
 * The event log on LevelDB.
 *
 * **Append** runs one command at a time, in this order; only then is it acknowledged:
 *
 *     known command? ─► expected position? ─► events to bytes ─► one synced batch (events + index entry) ─► head ─► followers woken
 *
 * When the batch or the head fails, nobody knows what is on disk. So nothing more is written until the store is opened again, and the
 * scan and the newest record say what is there.
 *
 * **Follow** reads pages up to the head, and waits for the head to move only when there is nothing left to read. Looking at the head and
 * beginning to wait happen in one turn, so no move falls between them.
 *
 * Not done: group commit of concurrent commands. Commands come from people, and each synced batch is well under a millisecond of work.
 */
import assert from "node:assert"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Scope } from "effect/Scope"
import * as Stream from "effect/Stream"
import { fail, type ImagelinkError } from "../errors.ts"
import { limits } from "../limits.ts"
import { type CommandEntry, decodeCommand, encodeCommand, isSameCommand } from "./command-index.ts"
import { storeError } from "./database.ts"
import { decodeBytes, decodeRecord, encodeRecord, type ParseEnvelope } from "./envelope.ts"
import { EnvelopeReader } from "./envelope-reader.ts"
import type { Appended, AppendRequest, EventLog, Recorded, RecordedBytes, Take } from "./event-log.ts"
import { commandKey, eventKey } from "./keys.ts"
import { type OpenStore, type OpenStoreOptions, openStore } from "./open-store.ts"
import { fromPromise } from "./promise.ts"
import { type Decode, RecordReader } from "./records.ts"
import type { SiteKey } from "./site-key.ts"
import type { Upcaster } from "./upcast.ts"

export interface LevelLogOptions extends OpenStoreOptions {
  readonly upcaster: Upcaster
  /** Name of this server, recorded with every event. */
  readonly server: string
}

export interface LevelLog extends EventLog {
  /** What signs the site's checkpoints. */
  readonly key: SiteKey
}

/** Opens the log in the data folder `dir`; it closes with the scope. @throws see `openStore` */
export const openLevelLog = (options: LevelLogOptions): Effect.Effect<LevelLog, ImagelinkError, Scope> =>
  Effect.acquireRelease(
    fromPromise(async () => new Log(await openStore(options), options)),
    (log) => Effect.promise(() => log.close()),
  ).pipe(Effect.map(asEventLog))

const asEventLog = (log: Log): LevelLog => ({
  site: log.store.site,
  key: log.store.key,
  head: () => log.position,
  headCommand: () => log.store.head.command(),
  refusesWrites: () => (log.closing ? closedWhy : log.stopped),
  append: (request) => Effect.uninterruptible(fromPromise(() => log.append(request))),
  findCommand: (id) => fromPromise(() => log.findCommand(id)),
  page: (after, max) => fromPromise(() => log.page(after, max, log.decode)),
  pageBytes: (after, max) => fromPromise(() => log.page(after, max, recordedBytes)),
  each: (after, last, take) =>
    fromPromise((signal) => log.each(after, last, (events) => !signal.aborted && take(events))),
  follow: (after) => Stream.paginate(after, (from) => followPage(log, from)),
})

const recordedBytes: Decode<RecordedBytes> = {
  decode: (file, position, value) => ({ position, bytes: decodeBytes(file, position, value) }),
  knowsPosition: false,
}

type Page = readonly [ReadonlyArray<Recorded>, Option.Option<number>]

const followPage = (log: Log, from: number): Effect.Effect<Page, ImagelinkError> =>
  Effect.andThen(
    Effect.callback<boolean>((resume) => log.whenPast(from, (open) => resume(Effect.succeed(open)))),
    (open): Effect.Effect<Page, ImagelinkError> =>
      open
        ? Effect.map(
            fromPromise(() => log.page(from, limits.pageEventsMax, log.decode)),
            (events) => [events, Option.some(from + events.length)] as const,
          )
        : Effect.succeed([[], Option.none()]),
  )

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

class Log {
  readonly store: OpenStore
  readonly reader: RecordReader
  readonly decode: Decode<Recorded>
  readonly upcaster: Upcaster
  readonly server: string
  position: number
  lastAt: number
  /** Why nothing more is written, once something failed. */
  stopped: string | undefined
  closing = false
  closed = false
  /** The append before, so that appends follow each other. */
  tail: Promise<unknown> = Promise.resolve()
  readonly waiters = new Set<() => void>()

  constructor(store: OpenStore, options: LevelLogOptions) {
    this.store = store
    this.upcaster = options.upcaster
    this.server = options.server
    this.reader = new RecordReader(store.database, store.paths.database)
    const envelopes = new EnvelopeReader()
    const parse: ParseEnvelope = (text, position) => envelopes.parse(text, position)
    this.decode = {
      decode: (file, position, value) => this.upcaster.upcast(decodeRecord(file, position, value, parse)),
      knowsPosition: true,
    }
    this.position = store.newest?.position ?? 0
    this.lastAt = store.newest?.at ?? 0
  }

  async append(request: AppendRequest): Promise<Appended> {
    if (this.closing) throw fail("STORE_READ_ONLY", { why: closedWhy })
    const run = this.tail.then(() => this.appendNow(request))
    this.tail = run.catch(() => {})
    return run
  }

  async appendNow(request: AppendRequest): Promise<Appended> {
    assert(uuid.test(request.command), "a command id is a UUID in lower case")
    assert(request.events.length <= limits.commandEventsMax, "a command yields more events than fit")
    assert(Number.isSafeInteger(request.at) && request.at >= 0, "a time is whole milliseconds since 1970")
    if (this.stopped !== undefined) throw fail("STORE_READ_ONLY", { why: this.stopped })
    const before = this.entry(request.command)
    if (before !== undefined) return this.repeat(request, before)
    if (request.expectedPosition !== this.position) {
      throw fail("LOG_CONFLICT", { expected: request.expectedPosition, actual: this.position })
    }
    const events = this.envelopes(request)
    if (events.length > 0) await this.commit(request, events)
    return { events, position: this.position, repeated: false }
  }

  async repeat(request: AppendRequest, entry: CommandEntry): Promise<Appended> {
    if (!isSameCommand(entry.fingerprint, request.fingerprint)) throw fail("COMMAND_REUSED", { id: request.command })
    return { events: await this.eventsOf(entry), position: this.position, repeated: true }
  }

  envelopes(request: AppendRequest): ReadonlyArray<Recorded> {
    const at = Math.max(request.at, this.lastAt)
    const { actor, command } = request
    return request.events.map(({ type, schemaVersion, data }, i): Recorded => {
      const current = this.upcaster.currentVersion(type)
      assert(schemaVersion === current, `${type} is written as schemaVersion ${current}, not ${schemaVersion}`)
      const position = this.position + 1 + i
      const event = { actor, at, command, data, position, schemaVersion, server: this.server, type }
      return at === request.at ? event : { ...event, wall: request.at }
    })
  }

  async commit(request: AppendRequest, events: ReadonlyArray<Recorded>): Promise<void> {
    const { command, fingerprint } = request
    const first = this.position + 1
    const operations = events.map((event) => put(eventKey(event.position), encodeRecord(event)))
    operations.push(put(commandKey(command), encodeCommand({ command, count: events.length, fingerprint, first })))
    const position = this.position + events.length
    try {
      const written = this.store.database.batch(operations, synced)
      const acknowledge = this.store.head.prepare(position, command)
      await written
      acknowledge()
    } catch (e) {
      const why = `writing to it failed: ${(e as Error).message}`
      this.stopped = why
      throw fail("STORE_READ_ONLY", { why }, { underlying: e })
    }
    this.position = position
    this.lastAt = events[0]!.at
    this.wake()
  }

  entry(command: string): CommandEntry | undefined {
    // at once: LevelDB's filters answer for a new command without reading, and a turn of its threads is a fifth of an append
    try {
      const value = this.store.database.getSync(commandKey(command))
      return value === undefined ? undefined : decodeCommand(this.reader.file, command, value)
    } catch (e) {
      throw this.refusal(e)
    }
  }

  async findCommand(id: string) {
    const entry = this.entry(id)
    return entry && { fingerprint: entry.fingerprint, events: await this.eventsOf(entry) }
  }

  async eventsOf({ command, count, first }: CommandEntry): Promise<ReadonlyArray<Recorded>> {
    const events = await this.guard(() => this.reader.range(first - 1, first - 1 + count, this.decode))
    if (events.every((event) => event.command === command)) return events
    const why = `events ${first} to ${first + count - 1} are not those of command ${command}, which the index says`
    throw fail("STORE_DAMAGED", { file: this.reader.file, why })
  }

  async page<A>(after: number, max: number, decode: Decode<A>): Promise<ReadonlyArray<A>> {
    assert(Number.isSafeInteger(after) && after >= 0, "a position is a whole number")
    assert(max >= 1 && max <= limits.pageEventsMax, `a page is 1 to ${limits.pageEventsMax} events`)
    return this.guard(() => this.reader.range(after, Math.min(this.position, after + max), decode))
  }

  async each(after: number, last: number, take: Take): Promise<void> {
    return this.guard(() => this.reader.each(after, Math.min(last, this.position), this.decode, take))
  }

  /** Runs a read; one that the log's closing cut off says so. */
  async guard<A>(read: () => Promise<A>): Promise<A> {
    try {
      return await read()
    } catch (e) {
      throw this.refusal(e)
    }
  }

  refusal(e: unknown): ImagelinkError {
    if (this.closed) return fail("STORE_READ_ONLY", { why: closedWhy }, { underlying: e })
    return storeError(e, this.reader.file, undefined)
  }

  /** Calls `then` once there is an event after `position` (true), or the log closed (false). Answers how to stop waiting. */
  whenPast(position: number, then: (open: boolean) => void): Effect.Effect<void> {
    const look = () => {
      if (!this.closed && this.position <= position) return
      this.waiters.delete(look)
      then(!this.closed)
    }
    this.waiters.add(look)
    look()
    return Effect.sync(() => this.waiters.delete(look))
  }

  wake(): void {
    for (const look of [...this.waiters]) look()
  }

  /** Finishes the appends it has, refuses later ones, ends followers and lets go of the files. */
  async close(): Promise<void> {
    this.closing = true
    await this.tail
    this.closed = true
    this.wake()
    await this.store.database.close()
    this.store.head.sync()
    this.store.head.close()
  }
}

const closedWhy = "the log is closed"
/** LevelDB's own option, which the abstract type does not know: the batch is on disk when it succeeds. */
const synced: object = { sync: true }

const put = (key: string, value: Uint8Array) => ({ type: "put" as const, key, value: value as Buffer })
