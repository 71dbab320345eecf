/**
 * A read-only disk out of a lookup that says where the guest's bytes are: what formats with a map have in common.
 *
 *     find(offset, length) ─► { zero | data in a file | packed } of at most `length` bytes ─► read, readSync, extents
 *
 * **Details** Reads of several runs go out together, at most `requestPiecesMax` of them, and settle together, because the buffer is
 * theirs until the last one has. `readSync` answers only what needs no waiting: every page at hand, and at most one run of data, since a second
 * one that cannot be had at once would leave the buffer half filled. `extents` looks further into the file only where that can tell holes.
 */
import { ExtentList } from "../block/extents.ts"
import { limits } from "../limits.ts"
import type { FormatDisk } from "./format.ts"
import { type Lookup, lookUp, lookUpSync } from "./table-pages.ts"
import type { Volume } from "./volume.ts"

/** Where the bytes from an offset on are; `length` is at least 1. */
export type Run =
  | { readonly kind: "zero"; readonly length: number }
  /** As they are, from `at` on in `volume`. */
  | { readonly kind: "data"; readonly length: number; readonly volume: Volume; readonly at: number }
  /** To be made first, by `read`. */
  | { readonly kind: "packed"; readonly length: number; readonly read: Volume["read"] }

/** One file of a chain, seen as the disk that it and what lies below it make. */
export interface DiskLayer {
  readonly sizeBytes: number
  /** Where the bytes from `offset` on are. The run ends at `offset + length` at the latest. */
  find(offset: number, length: number): Lookup<Run>
}

/** What shows through where a layer has nothing: its parent's bytes, and zeros past the parent's end or without one. */
export function* layerBelow(parent: DiskLayer | undefined, offset: number, length: number): Lookup<Run> {
  if (parent === undefined || offset >= parent.sizeBytes) return { kind: "zero", length }
  return yield* parent.find(offset, Math.min(length, parent.sizeBytes - offset))
}

export interface DiskMap extends DiskLayer {
  readonly dependsOn: ReadonlyArray<string>
  /** Every file, the image first: closed with the disk. */
  readonly volumes: ReadonlyArray<Volume>
}

export const mappedDisk = (map: DiskMap): FormatDisk => {
  const image = map.volumes[0]!
  return {
    sizeBytes: map.sizeBytes,
    dependsOn: map.dependsOn,
    read: (into, at, offset, length, signal) => readRuns(map, into, at, offset, length, signal),
    readSync: (into, at, offset, length) => readAtOnce(map, into, at, offset, length),
    extents: (offset, length, max) => extentsOf(map, offset, length, max),
    close: () => closeVolumes(map.volumes),
    ...(image.identity && { identity: async () => (await image.identity?.()) ?? {} }),
  }
}

/** Closes all of them, and throws the first error. */
export const closeVolumes = async (volumes: ReadonlyArray<Volume>): Promise<void> => {
  const settled = await Promise.allSettled(volumes.map((volume) => volume.close()))
  for (const one of settled) if (one.status === "rejected") throw one.reason
}

const readRuns = async (
  map: DiskMap,
  into: Uint8Array,
  at: number,
  offset: number,
  length: number,
  signal?: AbortSignal,
): Promise<void> => {
  const pieces: Array<Promise<void>> = []
  try {
    for (let done = 0; done < length; ) {
      const run = await lookUp(map.find(offset + done, length - done))
      if (run.kind === "zero") into.fill(0, at + done, at + done + run.length)
      else pieces.push(begun(run, into, at + done, offset + done, signal))
      done += run.length
      if (pieces.length === limits.requestPiecesMax) await settled(pieces.splice(0))
    }
  } finally {
    await settled(pieces)
  }
}

/** A read under way. It may fail while nobody awaits it yet. */
const begun = (
  run: Exclude<Run, { kind: "zero" }>,
  into: Uint8Array,
  at: number,
  offset: number,
  signal?: AbortSignal,
): Promise<void> => {
  const piece =
    run.kind === "data"
      ? run.volume.read(into, at, run.at, run.length, signal)
      : run.read(into, at, offset, run.length, signal)
  piece.catch(() => undefined)
  return piece
}

/** Waits for every piece, then throws the first error: nobody writes into the buffer after that. */
const settled = async (pieces: ReadonlyArray<Promise<void>>): Promise<void> => {
  for (const one of await Promise.allSettled(pieces)) if (one.status === "rejected") throw one.reason
}

const readAtOnce = (map: DiskMap, into: Uint8Array, at: number, offset: number, length: number): boolean => {
  let data: { readonly run: Run & { readonly kind: "data" }; readonly done: number } | undefined
  for (let done = 0; done < length; ) {
    const run = lookUpSync(map.find(offset + done, length - done))
    if (run === undefined || run.kind === "packed") return false
    if (run.kind === "data") {
      if (data !== undefined || run.volume.readSync === undefined) return false
      data = { run, done }
    }
    done += run.length
  }
  if (data === undefined) {
    into.fill(0, at, at + length)
    return true
  }
  const { run, done } = data
  if (!run.volume.readSync!(into, at + done, run.at, run.length)) return false
  into.fill(0, at, at + done)
  into.fill(0, at + done + run.length, at + length)
  return true
}

/** At most `formatExtentLookupsMax` runs in one call, so that a vast empty disk holds nobody up. */
const extentsOf = async (map: DiskMap, offset: number, length: number, max: number) => {
  const list = new ExtentList(max)
  let done = 0
  for (let lookups = 0; done < length && lookups < limits.formatExtentLookupsMax; lookups++) {
    const run = await lookUp(map.find(offset + done, length - done))
    if (!(await pushRun(list, run, offset + done, max))) break
    done += run.length
  }
  return list.list
}

const pushRun = async (list: ExtentList, run: Run, offset: number, max: number): Promise<boolean> => {
  if (run.kind !== "data" || run.volume.extents === undefined)
    return list.push(offset, run.length, run.kind === "zero" ? "zero" : "data")
  const found = await run.volume.extents(run.at, run.length, max)
  for (const { offset: from, length, kind } of found)
    if (!list.push(offset + from - run.at, length, kind === "data" ? "data" : "zero")) return false
  return list.end(offset) === offset + run.length
}

/** The files of one disk, in order of opening; whoever opens another adds it. */
export interface OpenedFiles {
  readonly volumes: ReadonlyArray<Volume>
  readonly dependsOn: ReadonlyArray<string>
}

/** The disk of the layer that `open` answers, whose parents it has opened. When it fails, every file that was opened so far is closed. */
export const layeredDisk = async (files: OpenedFiles, open: () => Promise<DiskLayer>): Promise<FormatDisk> => {
  try {
    const layer = await open()
    const { dependsOn, volumes } = files
    const find = (offset: number, length: number) => layer.find(offset, length)
    return mappedDisk({ sizeBytes: layer.sizeBytes, dependsOn, volumes, find })
  } catch (thrown) {
    await closeVolumes(files.volumes).catch(() => undefined)
    throw thrown
  }
}
