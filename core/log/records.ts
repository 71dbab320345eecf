/**
 * Reads events out of the database: in order, without a gap, each against its checksum.
 *
 * **Details** A read is bounded by a position that is known to be there, so an event that LevelDB does not find is noticed even at the
 * end. Values come as buffers and are parsed once; nothing else is done to an event here, because start-up folds all of them. For the
 * same reason keys are not asked for where the value tells its position itself: making them costs a tenth of a replay. They are looked
 * at after all when something is wrong, to say whether an event is missing or damaged.
 */
import { fail, type ImagelinkError, isImagelinkError } from "../errors.ts"
import { type LogDatabase, storeError } from "./database.ts"
import { eventKey } from "./keys.ts"
import { tableRuns } from "./table-reader.ts"

type Entry = Buffer | [string, Buffer]

/** Bytes that LevelDB hands over at a time. */
const chunkBytes = 1024 * 1024
const chunkEntries = 250
/** The last is LevelDB's own, which the abstract type does not know. */
const reading = {
  keyEncoding: "utf8",
  valueEncoding: "buffer",
  fillCache: false,
  highWaterMarkBytes: chunkBytes,
} as { readonly keyEncoding: "utf8"; readonly valueEncoding: "buffer" }

/** Turns a stored value into what the reader wants. */
export interface Decode<A> {
  readonly decode: (file: string, position: number, value: Uint8Array) => A
  /** It refuses the value of another position itself; else only the key tells. */
  readonly knowsPosition: boolean
}

type TakeRecords<A> = (batch: ReadonlyArray<A>) => boolean

/** From so many events on, reading whole tables pays. */
const tablesEventsMin = 5000

export class RecordReader {
  readonly database: LogDatabase
  /** The database's folder, named in refusals. */
  readonly file: string
  constructor(database: LogDatabase, file: string) {
    this.database = database
    this.file = file
  }

  /** All records in `(after, last]`. @throws STORE_DAMAGED IO_ERROR */
  async range<A>(after: number, last: number, decode: Decode<A>): Promise<ReadonlyArray<A>> {
    const out: Array<A> = []
    await this.each(after, last, decode, (batch) => {
      for (const item of batch) out.push(item)
      return true
    })
    return out
  }

  /** Gives the records in `(after, last]` to `take`, a few hundred at a time, until it answers false. @throws STORE_DAMAGED IO_ERROR */
  async each<A>(after: number, last: number, decode: Decode<A>, take: TakeRecords<A>): Promise<void> {
    const fromTables = decode.knowsPosition && last - after >= tablesEventsMin
    const reached = fromTables ? await this.eachOfTables(after, last, decode, take) : after
    if (reached < last) await this.eachThroughLevelDb(reached, last, decode, take)
  }

  /** Answers how far the tables went; `last` also when no more is wanted. */
  async eachOfTables<A>(after: number, last: number, decode: Decode<A>, take: TakeRecords<A>): Promise<number> {
    let at = after
    for await (const values of tableRuns(this.file, after, last)) {
      for (let i = 0; i < values.length; i += chunkEntries) {
        const batch = this.decodeAll(decode, at + 1, values.slice(i, i + chunkEntries))
        if (batch === undefined || this.database.status !== "open") return at
        at += batch.length
        if (!take(batch)) return last
      }
    }
    return at
  }

  /** Undefined when one is refused: what came through LevelDB may not be, or says why. */
  decodeAll<A>({ decode }: Decode<A>, first: number, values: ReadonlyArray<Buffer>): ReadonlyArray<A> | undefined {
    try {
      return values.map((value, i) => decode(this.file, first + i, value))
    } catch (e) {
      if (isImagelinkError(e)) return undefined
      throw e
    }
  }

  /** LevelDB reads the next ones meanwhile, so that its thread and this one both work. */
  async eachThroughLevelDb<A>(after: number, last: number, decode: Decode<A>, take: TakeRecords<A>): Promise<void> {
    const { decode: decodeOne, knowsPosition } = decode
    const between = { gt: eventKey(after), lte: eventKey(last), ...reading }
    const entries = knowsPosition ? this.database.values(between) : this.database.iterator(between)
    const value = (entry: Entry, position: number): Buffer => {
      if (entry instanceof Uint8Array) return entry
      if (entry[0] !== eventKey(position)) throw this.missing(position)
      return entry[1]
    }
    let next = after + 1
    try {
      let chunk: ReadonlyArray<Entry> = await entries.nextv(chunkEntries)
      while (chunk.length > 0) {
        const ahead = next + chunk.length > last ? undefined : quiet<ReadonlyArray<Entry>>(entries.nextv(chunkEntries))
        if (!take(chunk.map((entry, i) => decodeOne(this.file, next + i, value(entry, next + i))))) return
        next += chunk.length
        chunk = ahead === undefined ? [] : await ahead
      }
    } catch (e) {
      const error = storeError(e, this.file, undefined)
      throw error.code === "STORE_DAMAGED" && knowsPosition ? ((await this.gap(next, last)) ?? error) : error
    } finally {
      await entries.close()
    }
    if (next <= last) throw this.missing(next)
  }

  /** Whether what is wrong near `from` is that an event is not there at all. */
  async gap(from: number, last: number): Promise<ImagelinkError | undefined> {
    const lte = eventKey(Math.min(last, from + chunkEntries - 1))
    const keys = await this.database.keys({ gte: eventKey(from), lte, ...reading }).all()
    const at = keys.findIndex((key, i) => key !== eventKey(from + i))
    if (at >= 0) return this.missing(from + at)
    return from + keys.length <= Math.min(last, from + chunkEntries - 1) ? this.missing(from + keys.length) : undefined
  }

  missing(position: number) {
    return fail("STORE_DAMAGED", { file: this.file, why: `event ${position} is missing` })
  }
}

/** A promise that may be dropped without its failure going unhandled; awaiting it still throws. */
const quiet = <A>(promise: Promise<A>): Promise<A> => {
  promise.catch(() => {})
  return promise
}
