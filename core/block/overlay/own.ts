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

/** Joins runs of pages, told in order, where they meet. */
export class RunJoiner {
  readonly #sizeBytes: number
  readonly #ended: (run: Extent) => void
  #from = 0
  /** Of the run that has not ended yet. */
  state = ABSENT

  constructor(sizeBytes: number, ended: (run: Extent) => void) {
    this.#sizeBytes = sizeBytes
    this.#ended = ended
  }

  page(number: number, page: MapPage): void {
    if (page === NO_PAGE) {
      this.noPage(number)
      return
    }
    const start = number * PAGE_SPAN
    const limit = Math.min(PAGE_GRAINS, Math.ceil((this.#sizeBytes - start) / GRAIN))
    for (let g = 0; g < limit; g = runEnd(page, g, limit)) this.turn(start + g * GRAIN, stateOf(page, g))
  }

  /** From there on no page exists, until one is told. */
  noPage(number: number): void {
    this.turn(number * PAGE_SPAN, ABSENT)
  }

  /** From there on grains have this state. */
  turn(at: number, state: number): void {
    if (kindOf(state) === kindOf(this.state)) return
    this.#endAt(at)
    this.state = state
  }

  /** Ends with the disk. */
  end(): void {
    this.#endAt(this.#sizeBytes)
  }

  #endAt(at: number): void {
    if (at > this.#from) this.#ended({ offset: this.#from, length: at - this.#from, kind: kindOf(this.state) })
    this.#from = at
  }
}

const kindOf = (state: number): ExtentKind => (state === ABSENT ? "absent" : state === ZERO ? "zero" : "data")

/** The runs of an overlay that nobody writes to. @throws MEDIUM_ERROR IO_ERROR */
export async function* ownExtentsOf({ sizeBytes, map }: Parts): AsyncGenerator<Extent> {
  let ended: Array<Extent> = []
  const joiner = new RunJoiner(sizeBytes, (run) => void ended.push(run))
  for (let number = 0; number < pagesOf(sizeBytes); number++) {
    const page = await map.acquire(number)
    joiner.page(number, page)
    map.release(page)
    yield* ended
    ended = []
  }
  joiner.end()
  yield* ended
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
