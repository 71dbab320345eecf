/**
 * Where the disk's bytes are: the L1 table, held, and slices of L2 tables in a bounded cache.
 *
 *     guest offset ─► L1 entry ─► L2 slice ─► entry ─► run of units that are alike
 *                     0: absent   cached?     entry.ts
 *
 * **Details** `lookUp` answers from what is held, without waiting or allocating, or says that a slice must be loaded first. A run ends with its
 * slice at the latest. A table outside the file, or between two clusters, makes damaged runs of what it describes and no more.
 */
import { limits, type Volume } from "imagelink/plugin"
import { BoundedCache } from "./bounded-cache.ts"
import { entryOffset } from "./bytes.ts"
import { ABSENT, DAMAGED, DATA, type Entry, newEntry, PACKED, readEntry } from "./entry.ts"
import type { Geometry } from "./geometry.ts"

/** A stretch of the disk that is alike, and for DATA lies in one piece. */
export interface Run extends Entry {
  length: number
}

export const newRun = (): Run => ({ ...newEntry(), length: 0 })

export class ClusterMap {
  readonly #volume: Volume
  readonly #g: Geometry
  readonly #l1: Uint8Array
  readonly #slices = new BoundedCache(limits.qcow2SlicesBytesMax)
  readonly #next = newEntry()

  /** `l1` has an entry for every part of the disk. */
  constructor(volume: Volume, geometry: Geometry, l1: Uint8Array) {
    this.#volume = volume
    this.#g = geometry
    this.#l1 = l1
  }

  /** Fills `run` for the bytes from `offset` on, at most `length`. False: its slice is not here, ask `find`. */
  lookUp(run: Run, offset: number, length: number): boolean {
    const host = this.#sliceOffset(run, offset, length)
    if (host === 0) return true
    const slice = this.#slices.get(host)
    if (slice === undefined) return false
    this.#describe(run, slice, offset, length)
    return true
  }

  /** The same, and loads what it takes. */
  async find(run: Run, offset: number, length: number): Promise<void> {
    const host = this.#sliceOffset(run, offset, length)
    if (host === 0) return
    this.#describe(run, this.#slices.get(host) ?? (await this.#load(host)), offset, length)
  }

  /** Where the slice for `offset` is in the file. 0: there is none, and `run` says why. */
  #sliceOffset(run: Run, offset: number, length: number): number {
    const g = this.#g
    const index = Math.floor(offset / g.tableSpanBytes)
    const table = entryOffset(this.#l1, index * 8)
    if (table === 0) {
      run.kind = ABSENT
      run.length = Math.min(length, this.#absentUntil(index + 1, offset + length) - offset)
      return 0
    }
    if (table % g.clusterBytes === 0 && table + g.clusterBytes <= g.fileBytes)
      return table + Math.floor((offset % g.tableSpanBytes) / g.sliceSpanBytes) * g.sliceBytes
    run.kind = DAMAGED
    run.why = "an L1 entry points past the end of the file, or between two clusters"
    run.length = Math.min(length, (index + 1) * g.tableSpanBytes - offset)
    return 0
  }

  /** First byte that an L2 table from `index` on describes, or somewhere past `end`. */
  #absentUntil(index: number, end: number): number {
    const { tableSpanBytes } = this.#g
    let next = index
    while (next * tableSpanBytes < end && entryOffset(this.#l1, next * 8) === 0) next++
    return next * tableSpanBytes
  }

  #load(host: number): Promise<Uint8Array> {
    return this.#slices.load(host, async () => {
      const slice = new Uint8Array(this.#g.sliceBytes)
      await this.#volume.read(slice, 0, host, slice.length)
      return slice
    })
  }

  #describe(run: Run, slice: Uint8Array, offset: number, length: number): void {
    const g = this.#g
    const inSlice = offset % g.sliceSpanBytes
    const sliceStart = offset - inSlice
    const unitsMax = g.sliceSpanBytes / g.unitBytes
    let unit = Math.floor(inSlice / g.unitBytes)
    this.#readUnit(run, slice, sliceStart, unit)
    const inUnit = inSlice - unit * g.unitBytes
    let covered = g.unitBytes - inUnit
    if (run.kind === DATA) run.host += inUnit
    else if (run.kind === PACKED) covered = g.clusterBytes - (offset % g.clusterBytes)
    while (covered < length && ++unit < unitsMax && run.kind < PACKED) {
      const next = this.#next
      this.#readUnit(next, slice, sliceStart, unit)
      if (next.kind !== run.kind || (next.kind === DATA && next.host !== run.host + covered)) break
      covered += g.unitBytes
    }
    run.length = Math.min(covered, length)
  }

  #readUnit(entry: Entry, slice: Uint8Array, sliceStart: number, unit: number): void {
    const g = this.#g
    const cluster = Math.floor(unit / g.unitsPerCluster)
    const guest = sliceStart + cluster * g.clusterBytes
    readEntry(entry, g, slice, cluster * g.entryBytes, unit % g.unitsPerCluster, guest)
  }
}
