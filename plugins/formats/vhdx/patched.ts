/**
 * A volume with ranges replaced in memory: a file as it will be once its log has been replayed.
 *
 * **Details** Ranges are kept in order and never overlap; one that is laid over others cuts them. Past the end of the file, up to the size that
 * the log says it shall have, there are zeros.
 */
import type { Volume } from "imagelink/plugin"

interface Patch {
  readonly from: number
  readonly to: number
  /** Zeros without. */
  readonly bytes?: Uint8Array
}

export class Patches {
  readonly #list: Array<Patch> = []
  /** How often something was laid. */
  laid = 0

  /** Replaces `[at, at + length)`; what was laid there before is gone. */
  lay(at: number, length: number, bytes?: Uint8Array): void {
    this.laid += 1
    const to = at + length
    const first = this.#from(at)
    let behind = first
    const kept: Array<Patch> = []
    for (; behind < this.#list.length && this.#list[behind]!.from < to; behind++) {
      const old = this.#list[behind]!
      if (old.from < at) kept.push(cut(old, old.from, at))
      if (old.to > to) kept.push(cut(old, to, old.to))
    }
    const patch = { from: at, to, ...(bytes && { bytes }) }
    const added = [...kept.filter((p) => p.from < at), patch, ...kept.filter((p) => p.from >= to)]
    this.#list.splice(first, behind - first, ...added)
  }

  /** Writes what lies in `[offset, offset + length)` into the buffer, which holds the file's own bytes. */
  apply(into: Uint8Array, at: number, offset: number, length: number): void {
    const end = offset + length
    for (let i = this.#from(offset); i < this.#list.length && this.#list[i]!.from < end; i++) {
      const patch = this.#list[i]!
      const [from, to] = [Math.max(patch.from, offset), Math.min(patch.to, end)]
      const place = at + from - offset
      if (patch.bytes === undefined) into.fill(0, place, place + to - from)
      else into.set(patch.bytes.subarray(from - patch.from, to - patch.from), place)
    }
  }

  /** The first patch that ends behind `offset`. */
  #from(offset: number): number {
    let [low, high] = [0, this.#list.length]
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.#list[middle]!.to <= offset) low = middle + 1
      else high = middle
    }
    return low
  }
}

const cut = (patch: Patch, from: number, to: number): Patch =>
  patch.bytes === undefined
    ? { from, to }
    : { from, to, bytes: patch.bytes.subarray(from - patch.from, to - patch.from) }

/** `volume` with its patches, and at least `sizeBytes` long. */
export const patchedVolume = (volume: Volume, patches: Patches, sizeBytes: number): Volume => ({
  sizeBytes: Math.max(sizeBytes, volume.sizeBytes),
  async read(into, at, offset, length, signal) {
    const here = Math.max(0, Math.min(length, volume.sizeBytes - offset))
    if (here > 0) await volume.read(into, at, offset, here, signal)
    into.fill(0, at + here, at + length)
    patches.apply(into, at, offset, length)
  },
  close: () => volume.close(),
})
