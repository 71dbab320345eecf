/**
 * Memory of the RAM tier, as slots of one cluster: taken from the system in chunks, and given back by content.
 *
 * **Details** Slots are numbered on from those of the read cache, whose tables they share. A chunk belongs to one content, so that all of it
 * goes when an image leaves RAM; a content wastes less than one chunk. Nothing is allocated before a slot is taken.
 */
import assert from "node:assert"
import { limits } from "../limits.ts"
import { CHUNK_SLOTS as CHUNK, type SlotMemory } from "./slot-memory.ts"

const NONE = Buffer.alloc(0)

interface Owned {
  readonly chunks: Array<number>
  readonly free: Array<number>
}

export class RamSlots {
  /** Chunks that there may be. */
  readonly chunks: number
  readonly #first: number
  readonly #memory: SlotMemory
  readonly #freeChunks: Array<number> = []
  readonly #owned = new Map<string, Owned>()
  readonly #ownerOfChunk: Array<Owned | undefined>

  /** Its slots are those after what `memory` has now; chunks that are not allocated have no bytes there. */
  constructor(bytes: number, memory: SlotMemory) {
    this.chunks = Math.floor(bytes / limits.ramChunkBytes)
    this.#first = memory.chunks * CHUNK
    this.#memory = memory
    this.#ownerOfChunk = new Array(this.chunks).fill(undefined)
    for (let i = 0; i < this.chunks; i++) memory.replace(this.#first / CHUNK + i, NONE)
    for (let i = this.chunks - 1; i >= 0; i--) this.#freeChunks.push(i)
  }

  /** Number of the first of its slots; those before are the cache's own. */
  get first(): number {
    return this.#first
  }

  /** Slots that there may be. */
  get count(): number {
    return this.chunks * CHUNK
  }

  /** Bytes that are allocated. */
  get allocatedBytes(): number {
    return (this.chunks - this.#freeChunks.length) * limits.ramChunkBytes
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

  /** Gives back a chunk of a content, with whatever is in it; answers its first slot, or -1 when there is none left. */
  giveChunk(contentId: string): number {
    const owned = this.#owned.get(contentId)
    const chunk = owned?.chunks.pop()
    if (owned === undefined || chunk === undefined) {
      this.#owned.delete(contentId)
      return -1
    }
    // Some of them may be of this chunk.
    owned.free.length = 0
    const start = this.#first + chunk * CHUNK
    this.#memory.replace(start / CHUNK, NONE)
    this.#ownerOfChunk[chunk] = undefined
    this.#freeChunks.push(chunk)
    return start
  }

  #allocate(chunk: number, owned: Owned): void {
    const start = this.#first + chunk * CHUNK
    this.#memory.replace(start / CHUNK, Buffer.from(new ArrayBuffer(limits.ramChunkBytes)))
    for (let slot = start + CHUNK - 1; slot >= start; slot--) owned.free.push(slot)
    owned.chunks.push(chunk)
    this.#ownerOfChunk[chunk] = owned
  }
}
