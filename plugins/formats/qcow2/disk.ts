/**
 * The guest's disk in a qcow2 file.
 *
 *     run       bytes come from                                                  readSync, when all of it is one run
 *     data      the image file, or its external data file; zeros past its end    as that file answers
 *     packed    a decompressed cluster, kept for a while                         if it is kept
 *     zero      nowhere                                                          yes
 *     absent    the backing file; zeros past its end, or without one             as the backing file answers
 *     damaged   MEDIUM_ERROR for this run alone                                  throws
 *
 * **Gotchas** qemu may leave the last cluster of a file short, and what is missing of it reads as zeros. A cluster that begins past the end
 * of the file is damage: the file was cut.
 */
import { type Extent, type FormatDisk, fail, limits, type Volume, type VolumeIdentity } from "imagelink/plugin"
import { BoundedCache } from "./bounded-cache.ts"
import { ABSENT, DAMAGED, DATA, type Kind, PACKED, ZERO } from "./entry.ts"
import type { Compression } from "./header.ts"
import { type ClusterMap, newRun, type Run } from "./map.ts"
import { unpack } from "./unpack.ts"

export interface DiskParts {
  readonly path: string
  readonly sizeBytes: number
  readonly clusterBytes: number
  readonly compression: Compression
  readonly map: ClusterMap
  readonly image: Volume
  /** Where clusters are: the image itself, or its external data file. */
  readonly data: Volume
  readonly backing: Volume | undefined
  readonly dependsOn: ReadonlyArray<string>
}

export class Qcow2Disk implements FormatDisk {
  readonly sizeBytes: number
  readonly dependsOn: ReadonlyArray<string>
  readonly #parts: DiskParts
  readonly #unpacked = new BoundedCache(limits.qcow2UnpackedBytesMax)
  /** For readSync alone, which never waits while it looks at it. */
  readonly #run = newRun()

  constructor(parts: DiskParts) {
    this.sizeBytes = parts.sizeBytes
    this.dependsOn = parts.dependsOn
    this.#parts = parts
  }

  readSync(into: Uint8Array, at: number, offset: number, length: number): boolean {
    const run = this.#run
    if (!this.#parts.map.lookUp(run, offset, length) || run.length < length) return false
    switch (run.kind) {
      case ZERO:
        into.fill(0, at, at + length)
        return true
      case DATA:
        return readSyncInside(this.#parts.data, into, at, run.host, length)
      case PACKED:
        return this.#copyUnpacked(run, into, at, offset)
      case ABSENT: {
        const { backing } = this.#parts
        if (backing !== undefined) return readSyncInside(backing, into, at, offset, length)
        into.fill(0, at, at + length)
        return true
      }
      default:
        throw this.#damaged(run.why, offset, length)
    }
  }

  async read(into: Uint8Array, at: number, offset: number, length: number, signal?: AbortSignal): Promise<void> {
    const run = newRun()
    for (let done = 0; done < length; done += run.length) {
      await this.#parts.map.find(run, offset + done, length - done)
      await this.#readRun(run, into, at + done, offset + done, signal)
    }
  }

  async #readRun(run: Run, into: Uint8Array, at: number, offset: number, signal?: AbortSignal): Promise<void> {
    const { data, backing } = this.#parts
    if (run.kind === DATA) return readInside(data, into, at, run.host, run.length, signal)
    if (run.kind === ABSENT && backing !== undefined) return readInside(backing, into, at, offset, run.length, signal)
    if (run.kind === DAMAGED) throw this.#damaged(run.why, offset, run.length)
    if (run.kind !== PACKED) into.fill(0, at, at + run.length)
    else this.#copy(await this.#loadUnpacked(run, offset), run, into, at, offset)
  }

  #copyUnpacked(run: Run, into: Uint8Array, at: number, offset: number): boolean {
    const cluster = this.#unpacked.get(run.host)
    if (cluster === undefined) return false
    this.#copy(cluster, run, into, at, offset)
    return true
  }

  #copy(cluster: Uint8Array, run: Run, into: Uint8Array, at: number, offset: number): void {
    const from = offset % this.#parts.clusterBytes
    into.set(cluster.subarray(from, from + run.length), at)
  }

  async #loadUnpacked({ host, packedBytes, length }: Run, offset: number): Promise<Uint8Array> {
    const { image, compression, clusterBytes } = this.#parts
    return (
      this.#unpacked.get(host) ??
      this.#unpacked.load(host, async () => {
        const packed = new Uint8Array(packedBytes)
        await image.read(packed, 0, host, packedBytes)
        const cluster = await unpack(packed, compression, clusterBytes)
        if (cluster === undefined) throw this.#damaged("a compressed cluster cannot be decompressed", offset, length)
        return cluster
      })
    )
  }

  #damaged(why: string, offset: number, length: number) {
    return fail("MEDIUM_ERROR", { offset, length, what: `${this.#parts.path} (${why})` })
  }

  async extents(offset: number, length: number, max: number): Promise<ReadonlyArray<Extent>> {
    const { map, backing } = this.#parts
    const list = new Extents(max)
    const end = offset + length
    const run = newRun()
    for (let at = offset, runs = 0; at < end && runs < limits.qcow2ExtentRunsMax; at += run.length, runs++) {
      await map.find(run, at, end - at)
      const below = run.kind === ABSENT && backing !== undefined ? Math.min(run.length, backing.sizeBytes - at) : 0
      if (below > 0) run.length = await addBacking(list, backing as Volume, at, below)
      if (below <= 0 && !list.push(at, run.length, kindOf(run.kind))) break
      if (list.full) break
    }
    return list.list
  }

  async identity(): Promise<VolumeIdentity> {
    const { image } = this.#parts
    return (await image.identity?.()) ?? { sizeBytes: String(image.sizeBytes) }
  }

  async close(): Promise<void> {
    const { image, data, backing } = this.#parts
    try {
      await backing?.close()
    } finally {
      if (data !== image) await data.close()
      await image.close()
    }
  }
}

/** Damage is data: whoever reads it gets the error. Nothing lies below the whole chain, so absent reads as zeros. */
const kindOf = (kind: Kind): Extent["kind"] => (kind === ZERO || kind === ABSENT ? "zero" : "data")

const readInside = async (
  volume: Volume,
  into: Uint8Array,
  at: number,
  offset: number,
  length: number,
  signal?: AbortSignal,
): Promise<void> => {
  const inside = Math.max(0, Math.min(length, volume.sizeBytes - offset))
  if (inside < length) into.fill(0, at + inside, at + length)
  if (inside > 0) await volume.read(into, at, offset, inside, signal)
}

const readSyncInside = (volume: Volume, into: Uint8Array, at: number, offset: number, length: number): boolean => {
  if (volume.readSync === undefined) return false
  const inside = Math.max(0, Math.min(length, volume.sizeBytes - offset))
  if (inside > 0 && !volume.readSync(into, at, offset, inside)) return false
  if (inside < length) into.fill(0, at + inside, at + length)
  return true
}

/** Adds what the backing file says of a range, as far as it says it in one answer. Answers how many bytes that were. */
const addBacking = async (list: Extents, backing: Volume, offset: number, length: number): Promise<number> => {
  const found = (await backing.extents?.(offset, length, list.max)) ?? [{ offset, length, kind: "data" as const }]
  let told = 0
  for (const one of found) {
    if (!list.push(one.offset, one.length, one.kind === "data" ? "data" : "zero")) break
    told += one.length
  }
  return told
}

/** Runs in order, equal neighbours joined, at most `max`. */
class Extents {
  readonly max: number
  readonly list: Array<Extent> = []
  /** One more was offered than there is room for. */
  full = false

  constructor(max: number) {
    this.max = max
  }

  push(offset: number, length: number, kind: Extent["kind"]): boolean {
    const last = this.list.at(-1)
    if (last?.kind === kind)
      this.list[this.list.length - 1] = { offset: last.offset, length: last.length + length, kind }
    else if (this.list.length < this.max) this.list.push({ offset, length, kind })
    else this.full = true
    return !this.full
  }
}
