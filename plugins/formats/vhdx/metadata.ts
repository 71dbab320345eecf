/**
 * The metadata region: sizes, and where a differencing disk's parent may be.
 *
 * MS-VHDX 2.6; everything is little-endian, text is UTF-16LE.
 *
 *      table (64 KiB)   │metadata│zero (2)│count (2)│zero (20)│ 32 bytes each: id, offset in the region, length, flags, zero
 *      parent locator   │type id│zero (2)│count (2)│ 12 bytes each: key at, value at, key bytes (2), value bytes (2) │ texts …
 */
import { limits, type Volume } from "imagelink/plugin"
import { guidAt, guidIn } from "./guid.ts"
import { isRefusal, MiB, type Refusal, type Region, readAt } from "./headers.ts"

const TABLE_BYTES = 64 * 1024
const ITEMS_MAX = 2047
const ITEM_BYTES_MAX = MiB
const REQUIRED = 4

const FILE_PARAMETERS = "caa16737-fa36-4d43-b3b6-33f0aa44e76b"
const DISK_SIZE = "2fa54224-cd1b-4876-b211-5dbed83bf4b8"
const DISK_ID = "beca12ab-b2e6-4523-93ef-c309e000c746"
const LOGICAL_SECTOR = "8141bf1d-a96f-4709-ba47-f233a8faab5f"
const PHYSICAL_SECTOR = "cda348c7-445d-4471-9cc9-e9885251c556"
const PARENT_LOCATOR = "a8d35f2d-b30b-454d-abf7-d3d84834ab0c"
const VHDX_LOCATOR = "b04aefb7-d19e-4a81-b789-25b8e9445913"
const known: ReadonlySet<string> = new Set([
  FILE_PARAMETERS,
  DISK_SIZE,
  DISK_ID,
  LOGICAL_SECTOR,
  PHYSICAL_SECTOR,
  PARENT_LOCATOR,
])

export interface ParentLocator {
  /** Any of them is the parent's data write id. */
  readonly linkages: ReadonlyArray<string>
  readonly relative: ReadonlyArray<string>
  readonly absolute: ReadonlyArray<string>
}

export interface Metadata {
  readonly sizeBytes: number
  readonly blockBytes: number
  readonly sectorBytes: number
  /** Of a differencing disk. */
  readonly parent?: ParentLocator
}

export const readMetadata = async (volume: Volume, region: Region): Promise<Metadata | Refusal> => {
  const items = await readItems(volume, region)
  if (isRefusal(items)) return items
  const parameters = await items.read(FILE_PARAMETERS, 8)
  const size = await items.read(DISK_SIZE, 8)
  const sector = await items.read(LOGICAL_SECTOR, 4)
  if (parameters === undefined || size === undefined || sector === undefined)
    return { damaged: "its metadata lack an item that every disk has" }
  const [blockBytes, sectorBytes] = [parameters.readUInt32LE(0), sector.readUInt32LE(0)]
  const sizeBytes = Number(size.readBigUInt64LE(0))
  // MS-VHDX 2.6.2.1, 2.6.2.4 and 2.6.2.2
  if (blockBytes < MiB || blockBytes > 256 * MiB || (blockBytes & (blockBytes - 1)) !== 0)
    return { damaged: `it cannot have blocks of ${blockBytes} bytes` }
  if (sectorBytes !== 512 && sectorBytes !== 4096) return { damaged: `it cannot have sectors of ${sectorBytes} bytes` }
  if (sizeBytes === 0 || sizeBytes > limits.imageBytesMax || sizeBytes % sectorBytes !== 0)
    return { damaged: `its disk cannot have ${sizeBytes} bytes` }
  if ((parameters.readUInt32LE(4) & 2) === 0) return { sizeBytes, blockBytes, sectorBytes }
  const locator = await items.read(PARENT_LOCATOR, 20)
  const parent = locator === undefined ? { damaged: "it has a parent, and does not say which" } : decodeLocator(locator)
  return isRefusal(parent) ? parent : { sizeBytes, blockBytes, sectorBytes, parent }
}

interface Items {
  /** The bytes of an item, if it is there and has at least `least` of them. */
  read(id: string, least: number): Promise<Buffer | undefined>
}

const readItems = async (volume: Volume, { at, length }: Region): Promise<Items | Refusal> => {
  const table = (await readAt(volume, at, TABLE_BYTES))!
  if (table.toString("latin1", 0, 8) !== "metadata") return { damaged: "its metadata table has no signature" }
  const count = table.readUInt16LE(10)
  if (count > ITEMS_MAX) return { damaged: `its metadata table cannot have ${count} entries` }
  const places = new Map<string, Region>()
  for (let entry = 32; entry < 32 + count * 32; entry += 32) {
    const id = guidAt(table, entry)
    const place = { at: table.readUInt32LE(entry + 16), length: table.readUInt32LE(entry + 20) }
    if (!known.has(id) && (table.readUInt32LE(entry + 24) & REQUIRED) !== 0)
      return { unknown: `it needs the metadata item ${id}` }
    if (!known.has(id)) continue
    if (places.has(id)) return { damaged: "its metadata table names an item twice" }
    if (place.at < TABLE_BYTES || place.length > ITEM_BYTES_MAX || place.at + place.length > length)
      return { damaged: "its metadata table names a place outside its region" }
    places.set(id, place)
  }
  return {
    async read(id, least) {
      const place = places.get(id)
      return place === undefined || place.length < least ? undefined : readAt(volume, at + place.at, place.length)
    },
  }
}

/** MS-VHDX 2.6.2.6: pairs of texts; a path may be given relative, by volume, or absolute. */
const decodeLocator = (bytes: Buffer): ParentLocator | Refusal => {
  const type = guidAt(bytes, 0)
  if (type !== VHDX_LOCATOR) return { unknown: `its parent is named in the manner ${type}` }
  const pairs = new Map<string, string>()
  const text = (at: number, length: number) => bytes.toString("utf16le", at, at + length - (length % 2))
  for (let i = 0; i < bytes.readUInt16LE(18); i++) {
    const entry = 20 + i * 12
    if (entry + 12 > bytes.length) return { damaged: "its parent locator is cut short" }
    const [keyAt, valueAt] = [bytes.readUInt32LE(entry), bytes.readUInt32LE(entry + 4)]
    const [keyBytes, valueBytes] = [bytes.readUInt16LE(entry + 8), bytes.readUInt16LE(entry + 10)]
    if (keyAt + keyBytes > bytes.length || valueAt + valueBytes > bytes.length)
      return { damaged: "its parent locator names a place outside itself" }
    pairs.set(text(keyAt, keyBytes), text(valueAt, valueBytes))
  }
  const all = (...keys: ReadonlyArray<string>) => keys.flatMap((key) => pairs.get(key) ?? [])
  return {
    linkages: all("parent_linkage", "parent_linkage2").map(guidIn),
    relative: all("relative_path"),
    absolute: all("volume_path", "absolute_win32_path"),
  }
}
