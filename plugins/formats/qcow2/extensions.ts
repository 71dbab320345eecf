/**
 * Header extensions: what the fixed header has no room for (qcow2 specification, "Header extensions").
 *
 *     0 type, 0 ends the list   4 length n   8 n bytes, padded to a multiple of 8
 *
 * **Details** They end at their own end mark, at the backing file's name, or at the end of the first cluster. Types that are not known may be
 * ignored: whatever must not be ignored has an incompatible feature bit besides.
 */
import { u32 } from "./bytes.ts"
import type { Refusals } from "./refusals.ts"

export const extension = {
  end: 0,
  backingFormat: 0xe279_2aca,
  featureNames: 0x6803_f857,
  dataFile: 0x4441_5441,
} as const

const FEATURE_ENTRY_BYTES = 48
const INCOMPATIBLE = 0

export interface Extensions {
  readonly backingFormat: string | undefined
  readonly dataFile: string | undefined
  /** Names of incompatible features by bit. */
  readonly featureNames: ReadonlyMap<number, string>
}

/** Reads the extensions in `area`. @throws IMAGE_DAMAGED */
export const decodeExtensions = (area: Uint8Array, refuse: Refusals): Extensions => {
  const found = new Map<number, Uint8Array>()
  for (let at = 0; at + 8 <= area.length; ) {
    const type = u32(area, at)
    const length = u32(area, at + 4)
    if (type === extension.end) break
    if (length > area.length - at - 8) throw refuse.damaged("a header extension runs past the end of the header")
    // Each type appears at most once; the first one counts.
    if (!found.has(type)) found.set(type, area.subarray(at + 8, at + 8 + length))
    at += 8 + Math.ceil(length / 8) * 8
  }
  const text = (type: number, what: string) => {
    const bytes = found.get(type)
    return bytes === undefined || bytes.length === 0 ? undefined : decodeName(bytes, what, refuse)
  }
  return {
    backingFormat: text(extension.backingFormat, "the backing file's format"),
    dataFile: text(extension.dataFile, "the external data file's name"),
    featureNames: decodeFeatureNames(found.get(extension.featureNames) ?? new Uint8Array(0)),
  }
}

/** A name as the file system has it, which here is UTF-8. @throws IMAGE_DAMAGED */
export const decodeName = (bytes: Uint8Array, what: string, refuse: Refusals): string => {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    throw refuse.damaged(`${what} is not UTF-8`)
  }
}

/** Specification, "Feature name table". Names are for messages only, so whatever is not printable in them is left out. */
const decodeFeatureNames = (table: Uint8Array): ReadonlyMap<number, string> => {
  const names = new Map<number, string>()
  for (let at = 0; at + FEATURE_ENTRY_BYTES <= table.length; at += FEATURE_ENTRY_BYTES) {
    if (table[at] !== INCOMPATIBLE || table[at + 1]! > 63) continue
    const bytes = table.subarray(at + 2, at + FEATURE_ENTRY_BYTES)
    const name = [...bytes].filter((byte) => byte >= 0x20 && byte < 0x7f).map((byte) => String.fromCharCode(byte))
    if (name.length > 0) names.set(table[at + 1]!, name.join(""))
  }
  return names
}
