/**
 * Tells sequential readers from random ones, and says how far to read ahead of each.
 *
 * **Details** Several readers of one image are told apart by where each is expected next. A stream that goes on doubles its window, up to `remoteReadAheadBytesMax`;
 * one that skips a little, as a file system does over its own metadata, is the same stream. Anything else begins a new one, in the place of the one that
 * was heard of least recently. More is asked for only when half of the window was used up, so that requests stay long.
 *
 * A stream that begins with less than 256 KiB has the rest of that brought along, in the same request, for as long as one in four of the latest streams went on: of a recorded boot half do,
 * which saves it a sixth of its round trips; of random reads none do, and they bring nothing along.
 */
import { limits } from "imagelink/plugin"

const BLOCK = limits.remoteBlockBytes
const WINDOW_MAX = limits.remoteReadAheadBytesMax / BLOCK
const WINDOW_MIN = 2
/** With what a stream begins, if its first read is of fewer blocks. */
const FIRST = 4
/** Of the latest streams, how many went on: the least share that has some brought along, and how much one more of them says. */
const WENT_ON_MIN = 1 / 4
const WENT_ON_WEIGHT = 1 / 8

interface Stream {
  /** The block after the last one that was read. */
  next: number
  /** The block after the last one that was asked for ahead. */
  ahead: number
  window: number
  /** More was read of it after its beginning. */
  wentOn: boolean
}

export interface Blocks {
  readonly from: number
  /** The first block that is not meant. */
  readonly to: number
}

export class ReadAhead {
  /** The one heard of last is the last. */
  readonly #streams: Array<Stream> = []
  #wentOn = 1 / 2

  /** Blocks `[from, to)` are read now; answers what will likely be next, possibly nothing. `isMissed`: not all of them are there. */
  heard(from: number, to: number, isMissed: boolean): Blocks {
    const at = this.#streams.findIndex(({ next, window }) => from >= next - 1 && from <= next + window)
    if (at === -1) return this.#begin(from, to, isMissed)
    const [stream] = this.#streams.splice(at, 1) as [Stream]
    this.#streams.push(stream)
    if (to <= stream.next) return { from: to, to }
    stream.next = to
    stream.wentOn = true
    stream.ahead = Math.max(stream.ahead, to)
    if (stream.ahead - to > stream.window / 2) return { from: to, to }
    stream.window = Math.min(WINDOW_MAX, stream.window * 2)
    const begin = stream.ahead
    stream.ahead = to + stream.window
    return { from: begin, to: stream.ahead }
  }

  #begin(from: number, next: number, isMissed: boolean): Blocks {
    if (this.#streams.length >= limits.remoteStreamsMax) {
      const { wentOn } = this.#streams.shift()!
      this.#wentOn += (Number(wentOn) - this.#wentOn) * WENT_ON_WEIGHT
    }
    const ahead = isMissed && this.#wentOn >= WENT_ON_MIN ? Math.max(next, from + FIRST) : next
    this.#streams.push({ next, ahead, window: WINDOW_MIN, wentOn: false })
    return { from: next, to: ahead }
  }
}
