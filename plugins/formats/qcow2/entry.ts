/**
 * One entry of an L2 table: where a cluster is (qcow2 specification, "Cluster mapping" and "Extended L2 Entries").
 *
 *     bit 63          62 = 0                                     bit 63         62 = 1
 *     ┌──────┬───┬───────────────┬──────────────────┬───┬──────┐ ┌──────┬───┬─────────┬───────────────┐
 *     │ ours │ 0 │ reserved 56…61│ host offset 9…55 │ … │ zero │ │  0   │ 1 │ sectors │ host offset   │
 *     └──────┴───┴───────────────┴──────────────────┴───┴──────┘ └──────┴───┴─────────┴───────────────┘
 *                                                                         x … 61, x = 70 - cluster bits
 *     extended: then 32 bits "subcluster reads as zeros" and 32 bits "subcluster is allocated", lowest bit first
 *
 * **Details** `readEntry` never throws: what cannot be comes out as `damaged` with its reason, so that only reads of that very range fail.
 * Offset 0 means unallocated; only an external data file has a cluster at offset 0, and then bit 63 is set.
 *
 * **Gotchas** Reserved bits are not looked at, as a new meaning for them would come with an incompatible feature bit.
 */
import { entryOffset, u32 } from "./bytes.ts"
import type { Geometry } from "./geometry.ts"

export const ABSENT = 0
export const ZERO = 1
export const DATA = 2
export const PACKED = 3
export const DAMAGED = 4
export type Kind = typeof ABSENT | typeof ZERO | typeof DATA | typeof PACKED | typeof DAMAGED

/** State of one unit. The object belongs to the caller and is filled again and again. */
export interface Entry {
  kind: Kind
  /** Where its bytes are in the file that holds clusters: of the unit for DATA, of the compressed cluster for PACKED. */
  host: number
  packedBytes: number
  why: string
}

export const newEntry = (): Entry => ({ kind: ABSENT, host: 0, packedBytes: 0, why: "" })

const COMPRESSED = 0x4000_0000
const TWO32 = 4294967296
const SECTOR = 512

/** Fills `entry` for the unit `unit` of the cluster at guest offset `guest`, whose L2 entry is at `at` of `slice`. */
export const readEntry = (
  entry: Entry,
  g: Geometry,
  slice: Uint8Array,
  at: number,
  unit: number,
  guest: number,
): void => {
  const packed = (u32(slice, at) & COMPRESSED) !== 0
  entry.kind = packed ? readPacked(entry, g, slice, at) : readStandard(entry, g, slice, at, unit, guest)
}

const damaged = (entry: Entry, why: string): Kind => {
  entry.why = why
  return DAMAGED
}

const readStandard = (entry: Entry, g: Geometry, slice: Uint8Array, at: number, unit: number, guest: number): Kind => {
  const host = entryOffset(slice, at)
  const allocated = host !== 0 || (g.externalData && slice[at]! >= 0x80)
  const zeroBit = (slice[at + 7]! & 1) === 1
  let kind: Kind = allocated ? DATA : ABSENT
  if (g.extended) kind = subclusterKind(entry, slice, at, unit, allocated, zeroBit)
  else if (zeroBit && g.version === 2)
    return damaged(entry, "an L2 entry has the zero bit, which version 2 does not have")
  else if (zeroBit) kind = ZERO
  return kind === DATA ? placeData(entry, g, host, unit, guest) : kind
}

const subclusterKind = (
  entry: Entry,
  slice: Uint8Array,
  at: number,
  unit: number,
  allocated: boolean,
  zeroBit: boolean,
): Kind => {
  const zeros = u32(slice, at + 8)
  const here = u32(slice, at + 12)
  const bit = 1 << unit
  if (zeroBit || (zeros & here) !== 0) return damaged(entry, "subclusters of an L2 entry contradict each other")
  if ((zeros & bit) !== 0) return ZERO
  if ((here & bit) === 0) return ABSENT
  return allocated ? DATA : damaged(entry, "an L2 entry has subclusters but no cluster")
}

const placeData = (entry: Entry, g: Geometry, host: number, unit: number, guest: number): Kind => {
  // Specification, "Header", incompatible bit 2: with an external data file the offset must match the guest's.
  if (g.externalData && host !== guest) return damaged(entry, "an L2 entry moves a cluster of the external data file")
  if (host % g.clusterBytes !== 0) return damaged(entry, "an L2 entry points between two clusters")
  if (host >= g.dataBytes) return damaged(entry, "an L2 entry points past the end of the file")
  entry.host = host + unit * g.unitBytes
  return DATA
}

const readPacked = (entry: Entry, g: Geometry, slice: Uint8Array, at: number): Kind => {
  if (g.externalData) return damaged(entry, "an external data file cannot have a compressed cluster")
  const high = u32(slice, at)
  const shift = 38 - g.clusterBits
  const host = (high & ((1 << shift) - 1)) * TWO32 + u32(slice, at + 4)
  if (host >= g.fileBytes) return damaged(entry, "an L2 entry points past the end of the file")
  const sectors = ((high & (COMPRESSED - 1)) >>> shift) + 1
  entry.host = host
  // The file may end before the last sector does.
  entry.packedBytes = Math.min(sectors * SECTOR - (host % SECTOR), g.fileBytes - host)
  return PACKED
}
