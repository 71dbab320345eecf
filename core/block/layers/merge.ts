/**
 * What several layers of one chain have together: for each grain the newest of them that has it. No map is made of it, and no budget needed.
 *
 *     layer 4   ··DD····            window   ··DD·Z33
 *     layer 3   ···D·ZDD     ─►              (by its layer, and whether that one zeroed it)
 *
 * **Details** The disk is walked in windows of a page of grains, in order, and each layer's runs are painted over those of the older ones. Windows of which no
 * layer has anything are passed by. So it costs what the layers have, and holds one window.
 */
import type { Extent } from "../device.ts"
import { GRAIN, PAGE_GRAINS, PAGE_SPAN } from "./page.ts"

/** Of a grain that no layer has. */
export const NOTHING = 0
/** Of a grain that the layer at `index` of the list has. */
export const mergedCode = (index: number, isZero: boolean): number => ((index + 1) << 1) | (isZero ? 1 : 0)
export const layerIndex = (code: number): number => (code >> 1) - 1
export const isMergedZero = (code: number): boolean => (code & 1) === 1

export interface MergedWindow {
  /** Its first byte on the disk. */
  readonly offset: number
  /** Grains in it. */
  readonly grains: number
  /** One for each grain. Valid until the next window is asked for. */
  readonly codes: Uint16Array
}

interface Cursor {
  readonly runs: AsyncIterator<Extent>
  /** The first run of which something is still to come; undefined behind the last one. */
  run: Extent | undefined
}

const advance = async (cursor: Cursor): Promise<void> => {
  do {
    const next = await cursor.runs.next()
    cursor.run = next.done ? undefined : next.value
  } while (cursor.run?.kind === "absent")
}

/** The windows in which some layer has something, in order. `layers` are their runs, the oldest first. */
export async function* mergeLayers(
  sizeBytes: number,
  layers: ReadonlyArray<AsyncIterable<Extent>>,
): AsyncGenerator<MergedWindow> {
  const cursors: ReadonlyArray<Cursor> = layers.map((runs) => ({ runs: runs[Symbol.asyncIterator](), run: undefined }))
  try {
    for (const cursor of cursors) await advance(cursor)
    const codes = new Uint16Array(PAGE_GRAINS)
    for (let from = 0; ; from += PAGE_SPAN) {
      const first = Math.min(...cursors.map(({ run }) => run?.offset ?? Number.POSITIVE_INFINITY))
      if (first === Number.POSITIVE_INFINITY) return
      from = Math.max(from, Math.floor(first / PAGE_SPAN) * PAGE_SPAN)
      codes.fill(NOTHING)
      for (const [index, cursor] of cursors.entries()) await paint(codes, from, index, cursor)
      yield { offset: from, grains: Math.ceil(Math.min(PAGE_SPAN, sizeBytes - from) / GRAIN), codes }
    }
  } finally {
    for (const { runs } of cursors) await runs.return?.()
  }
}

const paint = async (codes: Uint16Array, from: number, index: number, cursor: Cursor): Promise<void> => {
  const limit = from + PAGE_SPAN
  while (cursor.run !== undefined && cursor.run.offset < limit) {
    const { offset, length, kind } = cursor.run
    const end = offset + length
    const code = mergedCode(index, kind === "zero")
    codes.fill(code, (Math.max(offset, from) - from) / GRAIN, Math.ceil((Math.min(end, limit) - from) / GRAIN))
    if (end > limit) {
      cursor.run = { offset: limit, length: end - limit, kind }
      return
    }
    await advance(cursor)
  }
}
