/**
 * An overlay's own runs: what it holds itself, whatever lies below, from the first grain of the disk to the last.
 *
 * **Details** They adjoin and cover the disk: data, zero, and absent where the base shows through. One page of the map is looked at a time,
 * so the memory is that of a page, however large the disk.
 */
import type { Extent, ExtentKind } from "../device.ts"
import { ABSENT, DATA, GRAIN, HOT, PAGE_GRAINS, PAGE_SPAN, pagesOf, ZERO } from "./geometry.ts"
import { type MapPage, NO_PAGE, runEnd, stateOf } from "./page.ts"
import type { Parts } from "./parts.ts"

/** Collects the runs of pages in order and joins them where they meet. */
export class RunJoiner {
  readonly #sizeBytes: number
  #from = 0
  #kind: ExtentKind = "absent"

  constructor(sizeBytes: number) {
    this.#sizeBytes = sizeBytes
  }

  /** Takes a page, or NO_PAGE for `number`; answers the runs that ended in it. */
  page(number: number, page: MapPage): ReadonlyArray<Extent> {
    const ended: Array<Extent> = []
    const start = number * PAGE_SPAN
    if (page === NO_PAGE) {
      this.#turn(start, "absent", ended)
      return ended
    }
    const limit = Math.min(PAGE_GRAINS, Math.ceil((this.#sizeBytes - start) / GRAIN))
    for (let g = 0; g < limit; g = runEnd(page, g, limit))
      this.#turn(start + g * GRAIN, kindOf(stateOf(page, g)), ended)
    return ended
  }

  /** The run that ends with the disk. */
  last(): Extent {
    return { offset: this.#from, length: this.#sizeBytes - this.#from, kind: this.#kind }
  }

  #turn(at: number, kind: ExtentKind, ended: Array<Extent>): void {
    if (kind === this.#kind) return
    if (at > this.#from) ended.push({ offset: this.#from, length: at - this.#from, kind: this.#kind })
    this.#from = at
    this.#kind = kind
  }
}

const kindOf = (state: number): ExtentKind => (state === ABSENT ? "absent" : state === ZERO ? "zero" : "data")

/** The runs of an overlay that nobody writes to. @throws MEDIUM_ERROR IO_ERROR */
export async function* ownExtentsOf({ sizeBytes, map }: Parts): AsyncGenerator<Extent> {
  const joiner = new RunJoiner(sizeBytes)
  for (let number = 0; number < pagesOf(sizeBytes); number++) {
    const page = await map.acquire(number)
    const ended = joiner.page(number, page)
    map.release(page)
    yield* ended
  }
  yield joiner.last()
}

/** What an overlay holds itself, in bytes of the disk. */
export interface OwnBytes {
  readonly dataBytes: number
  readonly zeroBytes: number
}

/** Bytes of so many grains, where the disk's last one, in `lastState`, may be shorter than the others. */
export const ownBytes = (sizeBytes: number, dataGrains: number, zeroGrains: number, lastState: number): OwnBytes => {
  const missing = Math.ceil(sizeBytes / GRAIN) * GRAIN - sizeBytes
  return {
    dataBytes: dataGrains * GRAIN - (lastState === DATA || lastState === HOT ? missing : 0),
    zeroBytes: zeroGrains * GRAIN - (lastState === ZERO ? missing : 0),
  }
}

/** Page of the disk's last grain, and its place in there. */
export const lastGrain = (sizeBytes: number): { readonly page: number; readonly grain: number } => {
  const page = pagesOf(sizeBytes) - 1
  return { page, grain: Math.ceil((sizeBytes - page * PAGE_SPAN) / GRAIN) - 1 }
}
