/**
 * Reads a map file once, from its directory to its last page: every sector is checked, every state counted.
 *
 * **Details** Opening an overlay scans its working map, so that damage is found then and not in the middle of a session, and so that
 * the quota starts from the truth. Only pages that exist are looked at. A mebibyte is read at a time, and the next one while this one is judged;
 * a second map of the same overlay may be read beside it and compared, which costs less than checking that one as well.
 */
import { limits } from "../../limits.ts"
import type { WritableVolume } from "../../storage/volume.ts"
import {
  directorySectorsOf,
  mapFileBytes,
  PAGE_FILE_BYTES,
  PAYLOAD_BYTES,
  pageOffset,
  pagesOf,
  SECTOR,
} from "./geometry.ts"
import type { MapContents } from "./map.ts"
import { checkSector, PAYLOAD_AT } from "./sector.ts"
import { type Sectors, sectorsFor } from "./sectors.ts"

/** Why a map cannot be used; open.ts says which overlay it is. */
export class MapDamage extends Error {
  override readonly name = "MapDamage"
}

const STEP_PAGES = limits.scanBytes / PAGE_FILE_BYTES
/** A gap that is read over is shorter than this: the file has a hole there, and bytes of a hole cost less than another read. */
const BRIDGED_PAGES = 16

type Exists = (page: number) => boolean

const existsIn =
  (directory: Uint8Array): Exists =>
  (page) =>
    (directory[page >> 3]! & (1 << (page & 7))) !== 0

const judgeLength = (map: WritableVolume, sizeBytes: number): void => {
  if (map.sizeBytes === mapFileBytes(sizeBytes)) return
  throw new MapDamage(`its map is ${map.sizeBytes} bytes long where ${mapFileBytes(sizeBytes)} are needed`)
}

/** The directory bits of a map file, and how many bytes they take in it. @throws MapDamage */
const readDirectory = async (map: WritableVolume, sizeBytes: number, tag: number): Promise<Uint8Array> => {
  judgeLength(map, sizeBytes)
  const sectors = directorySectorsOf(sizeBytes)
  const bytes = Buffer.alloc(sectors * SECTOR)
  await map.read(bytes, 0, 0, bytes.length)
  const directory = new Uint8Array(sectors * PAYLOAD_BYTES)
  for (let s = 0; s < sectors; s++) {
    if (!checkSector(bytes, s * SECTOR, s, tag)) throw new MapDamage(`directory sector ${s} of its map is damaged`)
    directory.set(bytes.subarray(s * SECTOR + PAYLOAD_AT, (s + 1) * SECTOR), s * PAYLOAD_BYTES)
  }
  return directory
}

/** Pages `[first, first + count)`. */
interface PageRun {
  readonly first: number
  readonly count: number
}

/** Neighbouring pages that exist, in order, at most a mebibyte of map each. */
export const pageRuns = (sizeBytes: number, directory: Uint8Array): Iterable<PageRun> =>
  runsWithin(0, pagesOf(sizeBytes), existsIn(directory))

function* runsWithin(from: number, to: number, exists: Exists): Generator<PageRun> {
  for (let first = from; first < to; first++) {
    if (!exists(first)) continue
    let end = first + 1
    while (end < to && end - first < STEP_PAGES && exists(end)) end++
    yield { first, count: end - first }
    first = end - 1
  }
}

/** The same, with short gaps read over. */
function* windowsOf(total: number, exists: Exists): Generator<PageRun> {
  for (let first = 0; first < total; first++) {
    if (!exists(first)) continue
    const limit = Math.min(total, first + STEP_PAGES)
    let end = first + 1
    for (let page = end; page < limit && page - end < BRIDGED_PAGES; page++) if (exists(page)) end = page + 1
    yield { first, count: end - first }
    first = end - 1
  }
}

export interface ScanParts {
  /** Another map of the overlay; `differs` is called with bytes of the scanned one that it has not, once they were judged. */
  readonly beside?: WritableVolume
  readonly differs?: (bytes: Uint8Array, at: number, offset: number, length: number) => Promise<void>
  /** Called for each page that exists, in order, once it was judged: it is at `at` of `sectors`. */
  readonly page?: (number: number, sectors: Sectors, at: number) => Promise<void> | undefined
}

/** Checks and counts a whole map. @throws MapDamage, and what reading it throws */
export const scanMap = async (
  map: WritableVolume,
  sizeBytes: number,
  tag: number,
  parts: ScanParts = {},
): Promise<MapContents> => {
  const { beside } = parts
  const directory = await readDirectory(map, sizeBytes, tag)
  if (beside !== undefined) judgeLength(beside, sizeBytes)
  const exists = existsIn(directory)
  const windows = windowsOf(pagesOf(sizeBytes), exists)
  const idle: Array<WindowReader> = []
  const begin = () => {
    const { value } = windows.next()
    return value && (idle.pop() ?? new WindowReader(map, beside, sizeBytes)).begin(value)
  }
  const contents = { directory, dataGrains: 0, zeroGrains: 0 }
  for (let reading = begin(); reading !== undefined; ) {
    await reading.arrived
    const next = begin()
    await judgeWindow(reading, exists, tag, parts)
    contents.dataGrains += reading.sectors.dataGrains
    contents.zeroGrains += reading.sectors.zeroGrains
    idle.push(reading)
    reading = next
  }
  return contents
}

/** One window on its way, or just there. */
class WindowReader {
  readonly sectors: Sectors
  readonly theirs: Buffer | undefined
  readonly #volumes: readonly [WritableVolume, WritableVolume | undefined]
  readonly #sizeBytes: number
  window: PageRun = { first: 0, count: 0 }
  arrived: Promise<unknown> = Promise.resolve()

  constructor(map: WritableVolume, beside: WritableVolume | undefined, sizeBytes: number) {
    this.#volumes = [map, beside]
    this.#sizeBytes = sizeBytes
    this.sectors = sectorsFor(pagesOf(sizeBytes), limits.scanBytes)
    this.theirs = beside && Buffer.allocUnsafeSlow(this.sectors.bytes.length)
  }

  get offset(): number {
    return pageOffset(this.#sizeBytes, this.window.first)
  }

  begin(window: PageRun): this {
    this.window = window
    this.sectors.dataGrains = 0
    this.sectors.zeroGrains = 0
    const [map, beside] = this.#volumes
    const length = window.count * PAGE_FILE_BYTES
    const ours = map.read(this.sectors.bytes, 0, this.offset, length)
    this.arrived = beside === undefined ? ours : Promise.all([ours, beside.read(this.theirs!, 0, this.offset, length)])
    // Nobody waits for it when the window before it is damaged.
    this.arrived.catch(nothing)
    return this
  }
}

const nothing = () => {}

const judgeWindow = async (reading: WindowReader, exists: Exists, tag: number, parts: ScanParts): Promise<void> => {
  const { window, sectors, theirs, offset } = reading
  const { first, count } = window
  for (let i = 0; i < count; i++) {
    if (!exists(first + i)) continue
    const sector = (offset + i * PAGE_FILE_BYTES) / SECTOR
    const damaged = sectors.damagedIn(i * PAGE_FILE_BYTES, sector, tag)
    if (damaged >= 0) throw new MapDamage(`sector ${sector + damaged} of its map is damaged`)
    const told = parts.page?.(first + i, sectors, i * PAGE_FILE_BYTES)
    if (told !== undefined) await told
  }
  if (theirs === undefined) return
  for (const run of runsWithin(first, first + count, exists)) {
    const at = (run.first - first) * PAGE_FILE_BYTES
    const length = run.count * PAGE_FILE_BYTES
    if (sectors.bytes.compare(theirs, at, at + length, at, at + length) === 0) continue
    await parts.differs?.(sectors.bytes, at, offset + at, length)
  }
}
