/**
 * The bytes of a cache's slots, sixteen slots to a Buffer.
 *
 * **Details** A Buffer for each slot was seen to cost a hit at random more than its copy's arithmetic does: three objects for each 64 KiB that are held do not stay in
 * the processor's cache, those for each 1 MiB do. A slot's own Buffer is made where a load needs one.
 */
import assert from "node:assert"
import { limits } from "../limits.ts"

const CLUSTER = limits.clusterBytes
const CLUSTER_BITS = Math.log2(CLUSTER)
/** Slots of a chunk. */
export const CHUNK_SLOTS = limits.ramChunkBytes / CLUSTER
const CHUNK_BITS = Math.log2(CHUNK_SLOTS)
const CHUNK_MASK = CHUNK_SLOTS - 1
assert(Number.isInteger(CLUSTER_BITS) && Number.isInteger(CHUNK_BITS))

export class SlotMemory {
  readonly #chunks: Array<Buffer> = []

  /** Chunks that there are. */
  get chunks(): number {
    return this.#chunks.length
  }

  /** Adds memory, from the next whole chunk on; answers its first slot. */
  add(bytes: number): number {
    const first = this.#chunks.length * CHUNK_SLOTS
    const memory = new ArrayBuffer(bytes)
    for (let at = 0; at < bytes; at += limits.ramChunkBytes)
      this.#chunks.push(Buffer.from(memory, at, Math.min(limits.ramChunkBytes, bytes - at)))
    return first
  }

  /** Puts other memory in the place of a chunk. */
  replace(chunk: number, memory: Buffer): void {
    this.#chunks[chunk] = memory
  }

  /** Copies part of a slot; makes nothing. */
  copy(slot: number, into: Uint8Array, at: number, from: number, length: number): void {
    const start = ((slot & CHUNK_MASK) << CLUSTER_BITS) + from
    this.#chunks[slot >> CHUNK_BITS]!.copy(into, at, start, start + length)
  }

  /** The whole of a slot, as it will be for as long as its chunk is not replaced. */
  of(slot: number): Buffer {
    const start = (slot & CHUNK_MASK) << CLUSTER_BITS
    return this.#chunks[slot >> CHUNK_BITS]!.subarray(start, start + CLUSTER)
  }
}
