/**
 * Reads a map file once, from its directory to its last page: every sector is checked, every state counted.
 *
 * **Details** Opening an overlay scans its working map, so that damage is found then and not in the middle of a session, and so that
 * the quota starts from the truth. Only pages that exist are read, a mebibyte at a time.
 */
import { limits } from "../../limits.ts"
import type { WritableVolume } from "../../storage/volume.ts"
import {
  directorySectorsOf,
  mapFileBytes,
  PAGE_FILE_BYTES,
  PAGE_SECTORS,
  PAYLOAD_BYTES,
  pageOffset,
  pagesOf,
  SECTOR,
} from "./geometry.ts"
import type { MapContents } from "./map.ts"
import { checkSector, checkStates, PAYLOAD_AT } from "./sector.ts"

/** Why a map cannot be used; open.ts says which overlay it is. */
export class MapDamage extends Error {
  override readonly name = "MapDamage"
}

const STEP_PAGES = limits.scanBytes / PAGE_FILE_BYTES
/** A gap that is read over is shorter than this. */
const BRIDGED_PAGES = 16

/** The directory bits of a map file, and how many bytes they take in it. @throws MapDamage */
export const readDirectory = async (map: WritableVolume, sizeBytes: number, tag: number): Promise<Uint8Array> => {
  if (map.sizeBytes !== mapFileBytes(sizeBytes)) {
    throw new MapDamage(`its map is ${map.sizeBytes} bytes long where ${mapFileBytes(sizeBytes)} are needed`)
  }
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

/** Calls `pages` for runs of neighbouring pages that exist, in order, at most a mebibyte of map each. */
export const eachPageRun = async (
  sizeBytes: number,
  directory: Uint8Array,
  pages: (first: number, count: number) => Promise<void>,
): Promise<void> => {
  const exists = (n: number) => (directory[n >> 3]! & (1 << (n & 7))) !== 0
  const total = pagesOf(sizeBytes)
  for (let n = 0; n < total; n++) {
    if (!exists(n)) continue
    let end = n + 1
    while (end < total && end - n < STEP_PAGES && exists(end)) end++
    await pages(n, end - n)
    n = end - 1
  }
}

/**
 * The same, but short gaps between pages are read over: the file has holes there, and bytes of a hole cost less than another read. Who is
 * called looks at the directory for which pages exist.
 */
const eachWindow = async (
  sizeBytes: number,
  exists: (page: number) => boolean,
  pages: (first: number, count: number) => Promise<void>,
): Promise<void> => {
  const total = pagesOf(sizeBytes)
  for (let first = 0; first < total; ) {
    if (!exists(first)) {
      first++
      continue
    }
    const end = windowEnd(first, total, exists)
    await pages(first, end - first)
    first = end
  }
}

/** One past the last page that exists of those from `first` on that are read at once. */
export const windowEnd = (first: number, total: number, exists: (page: number) => boolean): number => {
  const limit = Math.min(total, first + STEP_PAGES)
  let end = first + 1
  for (let page = end; page < limit && page - end < BRIDGED_PAGES; page++) if (exists(page)) end = page + 1
  return end
}

/**
 * Whether two maps of one overlay are the same, byte for byte. It is much cheaper than checking one: what is the same is checked where the other is.
 * @throws MapDamage when both have the same damaged directory
 */
export const sameMaps = async (
  one: WritableVolume,
  other: WritableVolume,
  sizeBytes: number,
  tag: number,
): Promise<boolean> => {
  const [ours, theirs] = [Buffer.alloc(limits.scanBytes), Buffer.alloc(limits.scanBytes)]
  const differs = async (offset: number, length: number) => {
    await one.read(ours, 0, offset, length)
    await other.read(theirs, 0, offset, length)
    return ours.compare(theirs, 0, length, 0, length) !== 0
  }
  if (one.sizeBytes !== other.sizeBytes) return false
  for (let at = 0, end = directorySectorsOf(sizeBytes) * SECTOR; at < end; at += limits.scanBytes)
    if (await differs(at, Math.min(limits.scanBytes, end - at))) return false
  let isSame = true
  const exists = existsIn(await readDirectory(one, sizeBytes, tag))
  await eachWindow(sizeBytes, exists, async (first, count) => {
    isSame &&= !(await differs(pageOffset(sizeBytes, first), count * PAGE_FILE_BYTES))
  })
  return isSame
}

const existsIn = (directory: Uint8Array) => (page: number) => (directory[page >> 3]! & (1 << (page & 7))) !== 0

/** Checks and counts a whole map. @throws MapDamage */
export const scanMap = async (map: WritableVolume, sizeBytes: number, tag: number): Promise<MapContents> => {
  const directory = await readDirectory(map, sizeBytes, tag)
  const counts = { dataGrains: 0, zeroGrains: 0 }
  const buffer = Buffer.alloc(limits.scanBytes)
  const exists = existsIn(directory)
  const judge = (at: number, sector: number) => {
    if (!checkSector(buffer, at, sector, tag) || !checkStates(buffer, at))
      throw new MapDamage(`sector ${sector} of its map is damaged`)
    for (let i = at + PAYLOAD_AT; i < at + SECTOR; i++) {
      counts.dataGrains += ONES[buffer[i]! & 0b01010101]!
      counts.zeroGrains += ONES[buffer[i]! & 0b10101010]!
    }
  }
  await eachWindow(sizeBytes, exists, async (first, count) => {
    const offset = pageOffset(sizeBytes, first)
    await map.read(buffer, 0, offset, count * PAGE_FILE_BYTES)
    for (let page = 0; page < count; page++) {
      if (!exists(first + page)) continue
      for (let s = 0; s < PAGE_SECTORS; s++) {
        const at = page * PAGE_FILE_BYTES + s * SECTOR
        judge(at, (offset + at) / SECTOR)
      }
    }
  })
  return { directory, ...counts }
}

/** How many bits of a byte are set. */
const ONES = Uint8Array.from({ length: 256 }, (_, byte) => byte.toString(2).replaceAll("0", "").length)
