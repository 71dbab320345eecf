/**
 * Reads events out of the database: in order, without a gap, each against its checksum.
 *
 * **Details** A read is bounded by a position that is known to be there, so an event that LevelDB does not find is noticed even at the
 * end. Values come as buffers and are parsed once; nothing else is done to an event here, because start-up folds all of them.
 */
import { fail } from "../errors.ts"
import { type LogDatabase, storeError } from "./database.ts"
import { eventKey } from "./keys.ts"

/** Bytes that LevelDB hands over at a time. */
const chunkBytes = 1024 * 1024
const chunkEntries = 250

/** Turns a stored value into what the reader wants. */
export type Decode<A> = (file: string, position: number, value: Uint8Array) => A

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
    })
    return out
  }

  /**
   * Calls `onBatch` with the records in `(after, last]`, a few hundred at a time. LevelDB reads the next ones meanwhile, so that its
   * thread and this one both work. @throws STORE_DAMAGED IO_ERROR
   */
  async each<A>(
    after: number,
    last: number,
    decode: Decode<A>,
    onBatch: (batch: ReadonlyArray<A>) => void,
  ): Promise<void> {
    if (after >= last) return
    const iterator = this.database.iterator<string, Buffer>({
      gt: eventKey(after),
      lte: eventKey(last),
      keyEncoding: "utf8",
      valueEncoding: "buffer",
      fillCache: false,
      highWaterMarkBytes: chunkBytes,
    } as object)
    let next = after + 1
    try {
      let chunk = await iterator.nextv(chunkEntries)
      while (chunk.length > 0) {
        const ahead = next + chunk.length > last ? undefined : quiet(iterator.nextv(chunkEntries))
        onBatch(chunk.map((entry, i) => decode(this.file, this.expect(next + i, entry[0]), entry[1])))
        next += chunk.length
        chunk = ahead === undefined ? [] : await ahead
      }
    } catch (e) {
      throw storeError(e, this.file, undefined)
    } finally {
      await iterator.close()
    }
    if (next <= last) throw this.missing(next)
  }

  expect(position: number, key: string): number {
    if (key !== eventKey(position)) throw this.missing(position)
    return position
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
