/**
 * Memory of the RAM tier, as slots of one cluster: taken from the system in chunks, and given back by content.
 *
 * **Details** Slots are numbered on from those of the read cache, whose tables they share. A chunk belongs to one content, so that all of it
 * goes when an image leaves RAM; a content wastes less than one chunk. Nothing is allocated before a slot is taken.
 */
import assert from "node:assert"
import { limits } from "../limits.ts"

const CLUSTER = limits.clusterBytes
const CHUNK = limits.ramChunkBytes / CLUSTER

interface Owned {
  readonly chunks: Array<number>
  readonly free: Array<number>
}

export class RamSlots {
  /** Chunks that there may be. */
  readonly chunks: number
  readonly #first: number
  readonly #slots: Array<Buffer>
  readonly #none: Buffer
  readonly #freeChunks: Array<number> = []
  readonly #owned = new Map<string, Owned>()
  readonly #ownerOfChunk: Array<Owned | undefined>

  /** Writes the buffer of each slot into `slots`, from `first` on, and `none` where there is none. */
  constructor(bytes: number, first: number, slots: Array<Buffer>, none: Buffer) {
    this.chunks = Math.floor(bytes / limits.ramChunkBytes)
    this.#first = first
    this.#slots = slots
    this.#none = none
    this.#ownerOfChunk = new Array(this.chunks).fill(undefined)
    for (let i = 0; i < this.chunks * CHUNK; i++) slots[first + i] = none
    for (let i = this.chunks - 1; i >= 0; i--) this.#freeChunks.push(i)
  }

  /** Slots that there may be. */
  get count(): number {
    return this.chunks * CHUNK
  }

  /** Bytes that are allocated for a content. */
  bytesOf(contentId: string): number {
    return (this.#owned.get(contentId)?.chunks.length ?? 0) * limits.ramChunkBytes
  }

  /** A slot for a cluster of this content, or -1 when there is no room. */
  take(contentId: string): number {
    const owned = this.#owned.get(contentId) ?? { chunks: [], free: [] }
    if (owned.free.length === 0) {
      const chunk = this.#freeChunks.pop()
      if (chunk === undefined) return -1
      this.#owned.set(contentId, owned)
      this.#allocate(chunk, owned)
    }
    return owned.free.pop()!
  }

  /** Gives back a slot that is not needed after all. */
  give(slot: number): void {
    const owned = this.#ownerOfChunk[Math.floor((slot - this.#first) / CHUNK)]
    assert(owned !== undefined, "a slot that was taken")
    owned.free.push(slot)
  }

  /** Gives back everything of a content; answers its slots. */
  giveAll(contentId: string): ReadonlyArray<number> {
    const owned = this.#owned.get(contentId)
    if (owned === undefined) return []
    this.#owned.delete(contentId)
    const slots: Array<number> = []
    for (const chunk of owned.chunks) {
      const start = this.#first + chunk * CHUNK
      for (let slot = start; slot < start + CHUNK; slot++) {
        this.#slots[slot] = this.#none
        slots.push(slot)
      }
      this.#ownerOfChunk[chunk] = undefined
      this.#freeChunks.push(chunk)
    }
    return slots
  }

  #allocate(chunk: number, owned: Owned): void {
    const memory = new ArrayBuffer(limits.ramChunkBytes)
    const start = this.#first + chunk * CHUNK
    for (let i = CHUNK - 1; i >= 0; i--) {
      this.#slots[start + i] = Buffer.from(memory, i * CLUSTER, CLUSTER)
      owned.free.push(start + i)
    }
    owned.chunks.push(chunk)
    this.#ownerOfChunk[chunk] = owned
  }
}
