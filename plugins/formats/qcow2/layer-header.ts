/**
 * The first cluster of a sealed layer: header, extensions, and its parent's name (qcow2 specification, "Header", "Header extensions").
 *
 * **Details** The field layout is drawn in header.ts. The features that a reader needs are named in a feature name table, for readers that do not know them.
 */
import assert from "node:assert"
import { limits, type SealInput } from "imagelink/plugin"
import { putU32, putU64 } from "./bytes.ts"
import { extension } from "./extensions.ts"
import { qemuFormatOf } from "./format-names.ts"
import { feature, MAGIC } from "./header.ts"
import { REFCOUNT_ORDER, type RefcountTable } from "./refcounts.ts"

const HEADER_BYTES = 112
const FEATURE_ENTRY_BYTES = 48

export interface LayerLayout {
  readonly clusterBytes: number
  readonly l1: { readonly offset: number; readonly entries: number }
  readonly refcounts: RefcountTable
}

/** Without a data file of its own, the bytes are in this one. */
export const layerHeader = (
  input: Pick<SealInput, "sizeBytes" | "parent"> & Partial<Pick<SealInput, "dataFile">>,
  { clusterBytes, l1, refcounts }: LayerLayout,
): Uint8Array => {
  const { dataFile, parent, sizeBytes } = input
  const bytes = new Uint8Array(clusterBytes)
  const extensions = Buffer.concat([
    ...(parent === undefined ? [] : [encode(extension.backingFormat, Buffer.from(qemuFormatOf(parent.format)))]),
    ...(dataFile === undefined ? [] : [encode(extension.dataFile, Buffer.from(dataFile))]),
    encode(extension.featureNames, featureNames(dataFile)),
    encode(extension.end, Buffer.alloc(0)),
  ])
  const name = Buffer.from(parent?.path ?? "")
  const nameOffset = HEADER_BYTES + extensions.length
  assert(name.length <= limits.qcow2BackingNameBytesMax, "the parent's name fits a backing file's")
  assert(dataFile !== "" && nameOffset + name.length <= clusterBytes, "names fit the first cluster")
  bytes.set(extensions, HEADER_BYTES)
  bytes.set(name, nameOffset)

  putU32(bytes, 0, MAGIC)
  putU32(bytes, 4, 3)
  putU64(bytes, 8, parent === undefined ? 0 : nameOffset)
  putU32(bytes, 16, name.length)
  putU32(bytes, 20, Math.log2(clusterBytes))
  putU64(bytes, 24, sizeBytes)
  putU32(bytes, 36, l1.entries)
  putU64(bytes, 40, l1.offset)
  putU64(bytes, 48, refcounts.offset)
  putU32(bytes, 56, refcounts.clusters)
  putU64(bytes, 72, (dataFile === undefined ? 0 : 2 ** feature.externalData) + 2 ** feature.extendedL2)
  putU32(bytes, 96, REFCOUNT_ORDER)
  putU32(bytes, 100, HEADER_BYTES)
  return bytes
}

const encode = (type: number, data: Uint8Array): Uint8Array => {
  const bytes = new Uint8Array(8 + Math.ceil(data.length / 8) * 8)
  putU32(bytes, 0, type)
  putU32(bytes, 4, data.length)
  bytes.set(data, 8)
  return bytes
}

/** Type 0 is an incompatible feature; then its bit, then its name. */
const featureName = (bit: number, name: string): Uint8Array => {
  const entry = Buffer.alloc(FEATURE_ENTRY_BYTES)
  entry[1] = bit
  entry.write(name, 2, "latin1")
  return entry
}

const featureNames = (dataFile: string | undefined): Uint8Array =>
  Buffer.concat([
    ...(dataFile === undefined ? [] : [featureName(feature.externalData, "external data file")]),
    featureName(feature.extendedL2, "extended L2 entries"),
  ])
