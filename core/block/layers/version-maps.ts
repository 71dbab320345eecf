/**
 * The maps of the versions that are open, each made once, from the nearest ancestor that is open too.
 *
 *     path of version 4    i@1 ─► i@2 ─► i@4        held: its map, made from i@2's if somebody holds that, otherwise from the base
 *
 * | map is   | when                                                             | stays                                            |
 * | -------- | ---------------------------------------------------------------- | ------------------------------------------------ |
 * | held     | somebody opened that version                                     | until the last of them releases it               |
 * | kept     | it was made on the way to a newer one, and its step says `keep`  | as long as that one, or until memory runs out    |
 * | passed   | it was made on the way, without `keep`                           | until its child is made                          |
 *
 * **Details** Keeping is for sharing: a version that is opened later and made anew has no page in common with the newer one. So say `keep` for
 * versions that clients are likely to open. When a map does not fit, what is only kept is given up, and it is tried once more.
 */
import { isImagelinkError } from "../../errors.ts"
import type { Extent } from "../device.ts"
import { extendMapFrom } from "./extend.ts"
import type { LayerMap, LayerMapBudget } from "./map.ts"

/** The first version of a path. */
export interface BaseStep {
  /** One for each version, whatever path it is on. */
  readonly key: string
  readonly sizeBytes: number
}

/** A committed version, over the one before it in its path. */
export interface LayerStep {
  readonly key: string
  /** Greater than those before it in the path. */
  readonly layer: number
  /** What the layer brought, in order. Called when its map is made, and again when that is tried again. */
  runs(): AsyncIterable<Extent>
  readonly keep?: boolean
}

export interface MapHold {
  readonly map: LayerMap
  /** Once the version is not read any more. A second release is the first. */
  release(): void
}

interface Node {
  readonly key: string
  /** Settles when `map` is set. */
  readonly made: Promise<void>
  map: LayerMap | undefined
  holds: number
  /** A parent that is kept for this one's sake. */
  parent: Node | undefined
}

export class VersionMaps {
  readonly #budget: LayerMapBudget
  readonly #nodes = new Map<string, Node>()

  constructor(budget: LayerMapBudget) {
    this.#budget = budget
  }

  /** The map of the last version of a path. @throws LAYER_MAPS_FULL, and what reading runs throws */
  async hold(base: BaseStep, layers: ReadonlyArray<LayerStep>): Promise<MapHold> {
    const node = await this.#take(base, layers, layers.length)
    const map = node.map!
    let held = true
    const release = () => {
      if (held) this.#release(node)
      held = false
    }
    return { map, release }
  }

  /** Keys of the maps in memory, for status and specs. */
  keys(): ReadonlyArray<string> {
    return [...this.#nodes.keys()].sort()
  }

  /** The node after `count` layers, held once more. */
  async #take(base: BaseStep, layers: ReadonlyArray<LayerStep>, count: number): Promise<Node> {
    const { key } = count === 0 ? base : layers[count - 1]!
    const node = this.#nodes.get(key) ?? this.#start(key, base, layers, count)
    node.holds++
    await node.made
    return node
  }

  #start(key: string, base: BaseStep, layers: ReadonlyArray<LayerStep>, count: number): Node {
    const made = Promise.resolve().then(() => this.#make(node, base, layers, count))
    const node: Node = { key, made, map: undefined, holds: 0, parent: undefined }
    this.#nodes.set(key, node)
    // Whoever waits for it hears of the failure; the next one tries anew.
    made.catch(() => this.#nodes.delete(key))
    return node
  }

  async #make(node: Node, base: BaseStep, layers: ReadonlyArray<LayerStep>, count: number): Promise<void> {
    if (count === 0) {
      node.map = this.#budget.baseMap(base.sizeBytes)
      return
    }
    const parent = await this.#take(base, layers, count - 1)
    try {
      node.map = await this.#extend(parent.map!, layers[count - 1]!)
      if (layers[count - 2]?.keep === true) node.parent = parent
    } finally {
      if (node.parent === undefined) this.#release(parent)
    }
  }

  async #extend(parent: LayerMap, step: LayerStep): Promise<LayerMap> {
    try {
      return await extendMapFrom(parent, step.layer, step.runs())
    } catch (e) {
      if (!isImagelinkError(e) || e.code !== "LAYER_MAPS_FULL" || !this.#giveUpKept()) throw e
      return extendMapFrom(parent, step.layer, step.runs())
    }
  }

  /** Lets go of what is only kept; answers whether there was anything. */
  #giveUpKept(): boolean {
    let gaveUp = false
    for (const node of [...this.#nodes.values()]) {
      const { parent } = node
      if (parent === undefined) continue
      node.parent = undefined
      this.#release(parent)
      gaveUp = true
    }
    return gaveUp
  }

  #release(node: Node): void {
    node.holds--
    if (node.holds > 0) return
    this.#nodes.delete(node.key)
    node.map?.release()
    const { parent } = node
    node.parent = undefined
    if (parent !== undefined) this.#release(parent)
  }
}
