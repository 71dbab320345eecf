/** A disk image of random bytes for the benches. */
import { randomFillSync } from "node:crypto"
import { closeSync, openSync, writeSync } from "node:fs"

const MiB = 2 ** 20

export const writeRandomImage = (path: string, sizeBytes: number): void => {
  const fd = openSync(path, "w")
  const block = new Uint8Array(4 * MiB)
  for (let at = 0; at < sizeBytes; at += block.length) writeSync(fd, randomFillSync(block), 0, block.length, at)
  closeSync(fd)
}
