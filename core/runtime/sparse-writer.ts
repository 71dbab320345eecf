/** Writes into a file that was just made, and leaves holes where there would be zeros. */
import { limits } from "../limits.ts"
import type { WritableVolume } from "../storage/volume.ts"

const BLOCK = limits.grainBytes
const zeros = Buffer.alloc(BLOCK)
/** Writes that are done in one turn of the loop, so that clients are served in between. */
const WRITES_A_TURN = 64

/** Whose copying is worth another thread. */
const ELSEWHERE_BYTES = 64 * 1024

/** The tables of a large and sparse layer are hundreds of mebibytes that say nothing: only blocks that say something are written. */
export const sparseWriter = (file: Pick<WritableVolume, "write" | "writeSync">) => {
  let writes = 0
  return async (bytes: Uint8Array, offset: number): Promise<void> => {
    for (let at = 0; at < bytes.length; ) {
      const end = dataEnd(bytes, at)
      if (end > at) {
        const length = end - at
        const now = length < ELSEWHERE_BYTES && file.writeSync(bytes, at, offset + at, length)
        if (!now) await file.write(bytes, at, offset + at, length)
        if (++writes % WRITES_A_TURN === 0) await new Promise<void>((resolve) => setImmediate(resolve))
      }
      at = end === at ? at + BLOCK : end
    }
  }
}

/** End of the blocks from `at` on that are not all zeros; `at` when the first one is. */
const dataEnd = (bytes: Uint8Array, at: number): number => {
  let end = at
  while (end < bytes.length && !isZero(bytes, end, Math.min(end + BLOCK, bytes.length)))
    end = Math.min(end + BLOCK, bytes.length)
  return end
}

const isZero = (bytes: Uint8Array, from: number, to: number): boolean =>
  zeros.compare(bytes, from, to, 0, to - from) === 0
