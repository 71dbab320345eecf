/**
 * What differs between two versions of one image, told by their maps alone: no data is read.
 *
 * | in one            | in the other        | differs                                                    |
 * | ----------------- | ------------------- | ---------------------------------------------------------- |
 * | the same code     | the same code       | no: a sealed layer's bytes do not change                   |
 * | zero, of a layer  | zero, of any layer  | no                                                         |
 * | anything else     |                     | yes: it was written, perhaps with the bytes that were there |
 *
 * **Details** Pages to which only layers that both have did something are passed by without a look inside.
 *
 * **Gotchas** Both maps are of one image, or their layer numbers mean nothing to each other. A layer that both have has the same runs object in both,
 * or its pages are looked into for nothing.
 */
import assert from "node:assert"
import { crc32c } from "../../bytes.ts"
import { limits } from "../../limits.ts"
import type { LayerMap, MapLayer } from "./map.ts"
import { codeIn, GRAIN, isZeroCode, type LayerPage, PAGE_GRAINS, runEndIn } from "./page.ts"
import { NOTHING } from "./run-leaf.ts"

const CLUSTER = limits.clusterBytes
const ZERO_CRC = crc32c(new Uint8Array(CLUSTER))

/** A run of bytes that differs; `kind` is what it is in the second version. */
export interface Difference {
  readonly offset: number
  readonly length: number
  readonly kind: "data" | "zero"
}

export interface DifferenceTotals {
  readonly runs: number
  readonly dataBytes: number
  readonly zeroBytes: number
}

/** The runs that differ, in order, each as long as it can be. */
export function* differences(before: LayerMap, after: LayerMap): Generator<Difference> {
  assert.equal(before.sizeBytes, after.sizeBytes, "versions of one image have one size")
  let open: { offset: number; end: number; kind: Difference["kind"] } | undefined
  const closed = (d: NonNullable<typeof open>): Difference => {
    const length = Math.min(d.end, after.sizeBytes) - d.offset
    return { offset: d.offset, length, kind: d.kind }
  }
  const others = [...notIn(before, after), ...notIn(after, before)]
  for (let number = 0; number * PAGE_GRAINS < after.grains; number++) {
    if (others.every(({ runs }) => runs.ofPage(number) === NOTHING)) continue
    const [a, b] = [before.pageAt(number), after.pageAt(number)]
    const start = number * PAGE_GRAINS
    const limit = Math.min(PAGE_GRAINS, after.grains - start)
    for (let g = 0; g < limit; ) {
      const end = Math.min(runEndIn(a, g, limit), runEndIn(b, g, limit))
      const kind = differs(a, b, g)
      if (kind !== undefined) {
        const offset = (start + g) * GRAIN
        const to = (start + end) * GRAIN
        if (open !== undefined && open.end === offset && open.kind === kind) open.end = to
        else {
          if (open !== undefined) yield closed(open)
          open = { offset, end: to, kind }
        }
      }
      g = end
    }
  }
  if (open !== undefined) yield closed(open)
}

/** Layers of the first that the second does not have. */
const notIn = (map: LayerMap, other: LayerMap): ReadonlyArray<MapLayer> =>
  map.layers.filter(({ runs }) => !other.layers.some((layer) => layer.runs === runs))

const differs = (a: LayerPage, b: LayerPage, grain: number): Difference["kind"] | undefined => {
  const was = codeIn(a, grain)
  const is = codeIn(b, grain)
  if (was === is || (isZeroCode(was) && isZeroCode(is))) return undefined
  return isZeroCode(is) ? "zero" : "data"
}

/** The runs of clusters whose checksums differ, in order. `kind` is zero where the second version has zeros. */
export function* clusterDifferences(before: Uint32Array, after: Uint32Array, sizeBytes: number): Generator<Difference> {
  assert.equal(before.length, after.length, "versions of one image have one size")
  const kindOf = (cluster: number) => {
    if (before[cluster] === after[cluster]) return undefined
    return after[cluster] === ZERO_CRC ? "zero" : "data"
  }
  for (let first = 0; first < after.length; ) {
    const kind = kindOf(first)
    let end = first + 1
    while (end < after.length && kindOf(end) === kind) end++
    const offset = first * CLUSTER
    if (kind !== undefined) yield { offset, length: Math.min(end * CLUSTER, sizeBytes) - offset, kind }
    first = end
  }
}

/** How many runs and bytes differ. */
export const differenceTotals = (before: LayerMap, after: LayerMap): DifferenceTotals => {
  let runs = 0
  let dataBytes = 0
  let zeroBytes = 0
  for (const { length, kind } of differences(before, after)) {
    runs++
    if (kind === "zero") zeroBytes += length
    else dataBytes += length
  }
  return { runs, dataBytes, zeroBytes }
}
