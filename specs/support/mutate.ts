/**
 * Files that lie, by seed: headers and tables of good images with bytes changed, and what a format may do with them.
 *
 * **Details** A format may refuse, with an error of the closed list; or open, and answer or refuse each request. What it may not: read outside its
 * files, read or ask without end, allocate by a number that the file made up, throw anything else. What a round costs is counted at the
 * volumes beneath, which are memory. `seal` sets checksums right again in half of the rounds, since otherwise nothing behind them is reached.
 */
import assert from "node:assert/strict"
import { fail, isImagelinkError } from "../../core/errors.ts"
import { limits } from "../../core/limits.ts"
import type { DiskFormat, FormatContext } from "../../core/storage/format.ts"
import { type GuardedVolume, guardVolume } from "../../core/storage/guard.ts"
import { siblingFault } from "../../core/storage/open-image.ts"
import type { Volume } from "../../core/storage/volume.ts"
import { type Random, random } from "./random.ts"

export interface Mutable {
  readonly name: string
  /** The image first. */
  readonly files: Readonly<Record<string, Uint8Array>>
  /** Ranges worth changing: headers, tables, markers. */
  readonly hot: Readonly<Record<string, ReadonlyArray<readonly [offset: number, length: number]>>>
  /** Makes the checksums of a changed file right; changes bytes of hot ranges only. */
  readonly seal?: (bytes: Buffer, name: string) => void
}

/** What a round may cost. Opening reads tables once; a read of a few KiB looks a few of them up. */
const READ_BYTES_MAX = 256 * 1024 * 1024
const READS_MAX = 20_000
const REQUEST_BYTES_MAX = 64 * 1024

interface Cost {
  reads: number
  bytes: number
  /** What must not have been asked. The guard makes an error of the closed list out of whatever a volume throws, so it is kept here. */
  fault?: string
}

/** Runs `rounds` mutations; throws what must not happen, with the seed and round that made it happen. */
export const mutateRounds = async (
  format: DiskFormat,
  samples: ReadonlyArray<Mutable>,
  seed: number,
  rounds: number,
): Promise<{ readonly opened: number; readonly refused: number }> => {
  let opened = 0
  for (let round = 0; round < rounds; round++) {
    const r = random(seed * 1_000_003 + round)
    const sample = r.pick(samples)
    try {
      if (await oneRound(format, sample, r)) opened++
    } catch (thrown) {
      throw new Error(`seed ${seed}, round ${round}, ${sample.name}: ${String(thrown)}`, { cause: thrown })
    }
  }
  return { opened, refused: rounds - opened }
}

const oneRound = async (format: DiskFormat, sample: Mutable, r: Random): Promise<boolean> => {
  const files = mutated(sample, r)
  const cost: Cost = { reads: 0, bytes: 0 }
  const disk = await mayRefuse(() => openOver(format, files, cost))
  try {
    for (let i = 0; disk !== undefined && i < 6; i++) await mayRefuse(() => request(disk, r))
  } finally {
    await disk?.close()
  }
  assert.equal(cost.fault, undefined)
  return disk !== undefined
}

/** The answer, or undefined after a refusal of the closed list. */
const mayRefuse = async <A>(ask: () => Promise<A>): Promise<A | undefined> => {
  try {
    return await ask()
  } catch (thrown) {
    if (!isImagelinkError(thrown)) throw thrown
    assert.notEqual(thrown.code, "PLUGIN_BROKE_CONTRACT", thrown.reason)
    assert.notEqual(thrown.code, "OUT_OF_RANGE", thrown.message)
    return undefined
  }
}

const request = async (disk: GuardedVolume, r: Random): Promise<void> => {
  const length = Math.min(disk.sizeBytes, 1 + r.int(r.pick([1, 512, 4096, REQUEST_BYTES_MAX])))
  if (length === 0) return
  const offset = r.chance(0.2)
    ? disk.sizeBytes - length
    : Math.floor((r.int(2 ** 30) / 2 ** 30) * (disk.sizeBytes - length))
  const into = new Uint8Array(length)
  const what = r.int(4)
  if (what === 0) await disk.extents(offset, disk.sizeBytes - offset, 1 + r.int(20))
  else if (what === 1) disk.readSync(into, 0, offset, length)
  else await disk.read(into, 0, offset, length)
}

const openOver = async (
  format: DiskFormat,
  files: Readonly<Record<string, Uint8Array>>,
  cost: Cost,
): Promise<GuardedVolume> => {
  const open: Array<Volume> = []
  const image = Object.keys(files)[0]!
  const take = (name: string): GuardedVolume => {
    const bytes = Object.hasOwn(files, name) ? files[name] : undefined
    if (bytes === undefined) throw fail("IMAGE_FILE_NOT_FOUND", { path: name })
    const volume = guardVolume(counted(bytes, cost), { kind: format.format, path: name })
    open.push(volume)
    return volume
  }
  const sibling = async (relative: string) => {
    const why = siblingFault(relative) ?? (open.length > limits.formatSiblingsMax ? "too many" : undefined)
    if (why !== undefined) throw fail("IMAGE_DEPENDENCY_REFUSED", { path: image, needs: String(relative), why })
    return take(relative)
  }
  const disk: FormatContext["disk"] = async (relative) => Object.assign(await sibling(relative), { dependsOn: [] })
  const { signal } = new AbortController()
  try {
    const opened = await format.open(take(image), { signal, limits, path: image, sibling, disk })
    return guardVolume(opened, { kind: format.format, path: image })
  } catch (thrown) {
    await Promise.allSettled(open.map((volume) => volume.close()))
    throw thrown
  }
}

/** Synchronous half of the time, so that both doors are tried. */
const counted = (bytes: Uint8Array, cost: Cost): Volume => {
  const read = (into: Uint8Array, at: number, offset: number, length: number): void => {
    if (offset < 0 || length <= 0 || offset + length > bytes.length)
      cost.fault ??= `a read of ${length} bytes at ${offset}`
    cost.reads += 1
    cost.bytes += length
    if (cost.reads > READS_MAX || cost.bytes > READ_BYTES_MAX)
      cost.fault ??= `${cost.reads} reads of ${cost.bytes} bytes`
    if (cost.fault !== undefined) throw new Error(cost.fault)
    into.set(bytes.subarray(offset, offset + length), at)
  }
  return {
    sizeBytes: bytes.length,
    read: async (into, at, offset, length) => read(into, at, offset, length),
    readSync: (into, at, offset, length) => {
      if (cost.reads % 2 === 1) return false
      read(into, at, offset, length)
      return true
    },
    close: async () => {},
  }
}

const WORDS = [
  0, 1, 2, 3, 7, 8, 0x7f, 0x80, 0xff, 0x100, 0x1ff, 0x200, 0xffff, 0x10000, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe,
  0xffff_ffff,
]

/** Copies of files that were changed, and may be changed again once their hot ranges are as they were: copying whole files takes longest. */
const scratch = new WeakMap<Uint8Array, Buffer>()
const SLACK = 512

const fresh = (original: Uint8Array, hot: ReadonlyArray<readonly [number, number]>): Buffer => {
  const copy = scratch.get(original)
  if (copy === undefined) {
    const made = Buffer.from(original)
    scratch.set(original, made)
    return made
  }
  for (const [at, length] of hot) {
    const from = Math.max(0, at - SLACK)
    copy.set(original.subarray(from, at + length + SLACK), from)
  }
  return copy
}

const mutated = (sample: Mutable, r: Random): Record<string, Uint8Array> => {
  const files: Record<string, Uint8Array> = { ...sample.files }
  const name = r.pick(Object.keys(sample.hot))
  let bytes = fresh(files[name]!, sample.hot[name]!)
  for (let changes = 1 + r.int(4); changes > 0; changes--) change(bytes, sample.hot[name]!, r)
  if (r.chance(0.08)) bytes = bytes.subarray(0, Math.max(1, r.int(bytes.length)))
  if (r.chance(0.6)) sample.seal?.(bytes, name)
  files[name] = bytes
  return files
}

const change = (bytes: Buffer, hot: ReadonlyArray<readonly [number, number]>, r: Random): void => {
  const [from, length] = r.pick(hot)
  const at = Math.min(from + r.int(length), bytes.length - 1)
  const aligned = Math.min(Math.max(0, at - (at % r.pick([2, 4, 8]))), bytes.length - 8)
  if (aligned < 0) return
  const word = r.pick(WORDS)
  switch (r.int(8)) {
    case 0:
      return void (bytes[at]! ^= 1 << r.int(8))
    case 1:
      return void (bytes[at] = r.int(256))
    case 2:
      return void bytes.writeUInt32BE(word, aligned)
    case 3:
      return void bytes.writeUInt32LE(word, aligned)
    case 4:
      return void bytes.writeBigUInt64BE(BigInt(word) << BigInt(r.pick([0, 20, 31, 32])), aligned)
    case 5:
      return void bytes.writeBigUInt64LE(BigInt(word) << BigInt(r.pick([0, 20, 31, 32])), aligned)
    case 6:
      return void bytes.copy(bytes, aligned, from, Math.min(from + 8 * (1 + r.int(8)), bytes.length))
    default:
      return void bytes.fill(r.pick([0, 0xff, 0x20]), at, Math.min(bytes.length, at + 1 + r.int(64)))
  }
}

/** Seeds of a run, and rounds of each: a few thousand mutations by default, a hundred thousand when soaking. */
export const mutationSeeds = (): ReadonlyArray<number> => {
  const one = process.env.IMAGELINK_SEED
  if (one !== undefined) return [Number(one)]
  return Array.from({ length: Number(process.env.IMAGELINK_SEEDS ?? 10) }, (_, i) => i + 1)
}
export const MUTATIONS_PER_SEED = 200
