/** The demo's sample disk: bytes that a seed and an offset decide, so every read can be judged without trusting the file. */
import { closeSync, fsyncSync, ftruncateSync, openSync, writeSync } from "node:fs"

const BLOCK = 4096

/** Blocks of three kinds: a boot sector first, then every eighth megabyte empty, the rest numbers that depend on place and seed. */
export const fillSample = (into: Buffer, seed: number): void => {
  for (let at = 0; at < into.length; at += BLOCK) {
    if (isEmpty(at)) continue
    let state = (Math.imul(at / BLOCK + 1, 0x9e3779b1) ^ seed) >>> 0 || 1
    for (let i = at; i < Math.min(at + BLOCK, into.length); i += 4) {
      state ^= state << 13
      state ^= state >>> 17
      state ^= state << 5
      into.writeUInt32LE(state >>> 0, i)
    }
  }
  into.write("Imagelink sample disk", 0, "latin1")
  into.writeUInt16LE(0xaa55, 510)
}

const isEmpty = (offset: number) => Math.floor(offset / 2 ** 20) % 8 === 7

/** Writes the sample, leaving its empty parts as holes. */
export const writeSample = (path: string, bytes: Buffer): void => {
  const fd = openSync(path, "wx", 0o644)
  try {
    ftruncateSync(fd, bytes.length)
    const MiB = 2 ** 20
    for (let at = 0; at < bytes.length; at += MiB)
      if (!isEmpty(at)) writeSync(fd, bytes, at, Math.min(MiB, bytes.length - at), at)
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

/** A small generator of the demo's own choices: repeatable from its seed. */
export const choices = (seed: number) => {
  let state = (seed * 2654435761 + 1) >>> 0 || 1
  return (below: number): number => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) % below
  }
}
