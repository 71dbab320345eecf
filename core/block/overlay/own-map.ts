/**
 * An overlay's own runs, put together page by page while its map file is read, and held as those of a layer (layers/runs.ts).
 *
 * **Details** Sealing goes over the runs more than once, and what was read and judged need not be read again. It takes what the layer
 * will take: a few bytes for each run, or, where they are short, a bit or two for each grain of a page.
 */
import type { Extent } from "../device.ts"
import { LayerMapBudget } from "../layers/budget.ts"
import { LayerRunsBuilder } from "../layers/runs-builder.ts"
import { GRAIN, PAGE_GRAINS, PAGE_SPAN } from "./geometry.ts"
import { RunJoiner } from "./own.ts"
import type { Sectors } from "./sectors.ts"

/** A few milliseconds of work. */
const RUNS_A_TURN = 16_384

export class OwnMapBuilder {
  readonly #sizeBytes: number
  readonly #joiner: RunJoiner
  readonly #builder: LayerRunsBuilder
  /** One past the last page that was told. */
  #next = 0
  #runs = 0

  constructor(sizeBytes: number) {
    this.#sizeBytes = sizeBytes
    this.#joiner = new RunJoiner(sizeBytes, (run) => this.#add(run))
    this.#builder = new LayerRunsBuilder(new LayerMapBudget(), sizeBytes)
  }

  /** Takes the next page that exists, at `at` of `sectors`; now and then a turn of the loop is to be waited for, so that clients are served. */
  page(number: number, sectors: Sectors, at: number): Promise<void> | undefined {
    if (number > this.#next) this.#joiner.noPage(this.#next)
    this.#next = number + 1
    const start = number * PAGE_SPAN
    const grains = Math.min(PAGE_GRAINS, Math.ceil((this.#sizeBytes - start) / GRAIN))
    const before = this.#joiner.state
    sectors.eachTurn(at, grains, before, (grain, state) => this.#joiner.turn(start + grain * GRAIN, state))
    if (this.#runs < RUNS_A_TURN) return undefined
    this.#runs = 0
    return new Promise((resolve) => setImmediate(resolve))
  }

  /** The runs, in order, and the state of the disk's last grain. */
  finish(): { readonly extents: () => Iterable<Extent>; readonly lastState: number } {
    if (this.#next * PAGE_SPAN < this.#sizeBytes) this.#joiner.noPage(this.#next)
    const lastState = this.#joiner.state
    this.#joiner.end()
    const runs = this.#builder.finish()
    return { extents: () => runs.extents(), lastState }
  }

  #add(run: Extent): void {
    this.#runs++
    this.#builder.add(run)
  }
}
