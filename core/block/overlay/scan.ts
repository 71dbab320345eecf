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

/** Checks and counts a whole map. @throws MapDamage */
export const scanMap = async (map: WritableVolume, sizeBytes: number, tag: number): Promise<MapContents> => {
  const directory = await readDirectory(map, sizeBytes, tag)
  const counts = { dataGrains: 0, zeroGrains: 0 }
  const buffer = Buffer.alloc(limits.scanBytes)
  await eachPageRun(sizeBytes, directory, async (first, count) => {
    const offset = pageOffset(sizeBytes, first)
    await map.read(buffer, 0, offset, count * PAGE_FILE_BYTES)
    for (let s = 0; s < count * PAGE_SECTORS; s++) {
      const at = s * SECTOR
      if (!checkSector(buffer, at, offset / SECTOR + s, tag) || !checkStates(buffer, at)) {
        throw new MapDamage(`sector ${offset / SECTOR + s} of its map is damaged`)
      }
      for (let i = at + PAYLOAD_AT; i < at + SECTOR; i++) {
        counts.dataGrains += ONES[buffer[i]! & 0b01010101]!
        counts.zeroGrains += ONES[buffer[i]! & 0b10101010]!
      }
    }
  })
  return { directory, ...counts }
}

/** How many bits of a byte are set. */
const ONES = Uint8Array.from({ length: 256 }, (_, byte) => byte.toString(2).replaceAll("0", "").length)
