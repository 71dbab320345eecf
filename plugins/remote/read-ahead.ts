/**
 * Tells sequential readers from random ones, and says how far to read ahead of each.
 *
 * **Details** Several readers of one image are told apart by where each is expected next. A stream that goes on doubles its window, up to `remoteReadAheadBytesMax`;
 * one that skips a little, as a file system does over its own metadata, is the same stream. Anything else begins a new one, in the place of the one that
 * was heard of least recently. More is asked for only when half of the window was used up, so that requests stay long.
 */
import { limits } from "imagelink/plugin"

const BLOCK = limits.remoteBlockBytes
const WINDOW_MAX = limits.remoteReadAheadBytesMax / BLOCK
const WINDOW_MIN = 2

interface Stream {
  /** The block after the last one that was read. */
  next: number
  /** The block after the last one that was asked for ahead. */
  ahead: number
  window: number
}

export interface Blocks {
  readonly from: number
  /** The first block that is not meant. */
  readonly to: number
}

export class ReadAhead {
  /** The one heard of last is the last. */
  readonly #streams: Array<Stream> = []

  /** Blocks `[from, to)` are read now; answers what will likely be next, possibly nothing. */
  heard(from: number, to: number): Blocks {
    const at = this.#streams.findIndex(({ next, window }) => from >= next - 1 && from <= next + window)
    if (at === -1) {
      if (this.#streams.length >= limits.remoteStreamsMax) this.#streams.shift()
      this.#streams.push({ next: to, ahead: to, window: WINDOW_MIN })
      return { from: to, to }
    }
    const [stream] = this.#streams.splice(at, 1) as [Stream]
    this.#streams.push(stream)
    if (to <= stream.next) return { from: to, to }
    stream.next = to
    stream.ahead = Math.max(stream.ahead, to)
    if (stream.ahead - to > stream.window / 2) return { from: to, to }
    stream.window = Math.min(WINDOW_MAX, stream.window * 2)
    const begin = stream.ahead
    stream.ahead = to + stream.window
    return { from: begin, to: stream.ahead }
  }
}
