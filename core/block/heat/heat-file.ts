/**
 * The file that keeps an image's heat; also what carries it to another server.
 *
 *     offset  bytes  field
 *          0      8  magic "ILHEAT64"
 *          8      4  format version, 1
 *         12      4  incompatible features: a reader that does not know a set bit refuses the file
 *         16      4  compatible features: may be ignored
 *         20      4  autoclear features: may be ignored; a writer that does not know a bit clears it
 *         24     36  image id, ASCII
 *         60      8  size of the guest disk in bytes
 *         68      4  cluster bytes
 *         72      4  number of labels
 *         76      4  number of recordings
 *         80      4  CRC-32C of bytes 0 to 79
 *         84         labels: 32 bytes of ASCII, padded with zeros; 4 bytes, how often it was recorded
 *                    recordings, oldest first: 4 bytes, which label; 8, when it ended; 4, its clusters; for each, in the order of its first
 *                    read, 4 bytes the version that brought it, and 4 bytes its number
 *        end      4  CRC-32C of bytes 84 to there
 *
 * All numbers are big-endian.
 */
import assert from "node:assert"
import { crc32c, readU32, readU64, writeU32, writeU64 } from "../../bytes.ts"
import { limits } from "../../limits.ts"
import { ClusterTable } from "./cluster-table.ts"
import { type Heat, isLabel, type KeptReads } from "./heat.ts"

const HEADER_BYTES = 84
const MAGIC = "ILHEAT64"
const ID_BYTES = 36
const LABEL_BYTES = 36
const READS_BYTES = 16
const { clusterBytes: CLUSTER, heatLabelCharsMax: CHARS } = limits
const KEPT_MAX = limits.heatKeptMax * limits.heatLabelsMax

/** A longer file is none. */
export const heatFileBytesMax =
  HEADER_BYTES + LABEL_BYTES * limits.heatLabelsMax + READS_BYTES * KEPT_MAX + 8 * limits.heatEntriesMax + 4

export const encodeHeat = ({ imageId, sizeBytes, labels, kept }: Heat): Uint8Array => {
  assert(/^[\x21-\x7e]{36}$/u.test(imageId), "an image id is a UUID")
  const entries = kept.reduce((sum, { clusters }) => sum + clusters.length, 0)
  const length = HEADER_BYTES + LABEL_BYTES * labels.length + READS_BYTES * kept.length + 8 * entries + 4
  const bytes = Buffer.alloc(length)
  bytes.write(MAGIC, 0, "latin1")
  writeU32(bytes, 8, 1)
  bytes.write(imageId, 24, "latin1")
  writeU64(bytes, 60, sizeBytes)
  writeU32(bytes, 68, CLUSTER)
  writeU32(bytes, 72, labels.length)
  writeU32(bytes, 76, kept.length)
  writeU32(bytes, 80, crc32c(bytes.subarray(0, 80)))
  let at = HEADER_BYTES
  for (const { label, recorded } of labels) {
    bytes.write(label, at, "latin1")
    writeU32(bytes, at + CHARS, recorded)
    at += LABEL_BYTES
  }
  for (const reads of kept) {
    const { label, versions, clusters } = reads
    writeU32(
      bytes,
      at,
      labels.findIndex((l) => l.label === label),
    )
    writeU64(bytes, at + 4, reads.at)
    writeU32(bytes, at + 12, clusters.length)
    at += READS_BYTES
    for (let i = 0; i < clusters.length; i++, at += 8) {
      writeU32(bytes, at, versions[i]!)
      writeU32(bytes, at + 4, clusters[i]!)
    }
  }
  writeU32(bytes, at, crc32c(bytes.subarray(HEADER_BYTES, at)))
  return bytes
}

export type DecodedHeat = { readonly ok: true; readonly heat: Heat } | { readonly ok: false; readonly why: string }

/** Reads such a file; every field is checked before one entry is believed. */
export const decodeHeat = (bytes: Uint8Array): DecodedHeat => {
  const no = (why: string): DecodedHeat => ({ ok: false, why })
  if (bytes.length < HEADER_BYTES + 4) return no(`it is ${bytes.length} bytes long, shorter than its header`)
  if (latin1(bytes, 0, 8) !== MAGIC) return no("it is not a heat file")
  if (bytes.length > heatFileBytesMax) return no(`it is ${bytes.length} bytes long, and none is so long`)
  if (readU32(bytes, 80) !== crc32c(bytes.subarray(0, 80))) return no("its header does not match its checksum")
  if (readU32(bytes, 8) !== 1) return no(`its format version is ${readU32(bytes, 8)}; only 1 is known`)
  if (readU32(bytes, 12) !== 0) return no("it needs features of a newer Imagelink")
  if (readU32(bytes, 68) !== CLUSTER) return no(`its clusters are ${readU32(bytes, 68)} bytes, not ${CLUSTER}`)
  const end = bytes.length - 4
  if (readU32(bytes, end) !== crc32c(bytes.subarray(HEADER_BYTES, end)))
    return no("its entries do not match their checksum")
  return decodeEntries(bytes, end) ?? no("its entries do not fit together")
}

/** Undefined when a field cannot be: the file was made by no writer of this format. */
const decodeEntries = (bytes: Uint8Array, end: number): DecodedHeat | undefined => {
  const sizeBytes = readU64(bytes, 60)
  const [labelCount, readsCount] = [readU32(bytes, 72), readU32(bytes, 76)]
  if (!(sizeBytes <= limits.imageBytesMax) || labelCount > limits.heatLabelsMax || readsCount > KEPT_MAX)
    return undefined
  let at = HEADER_BYTES
  if (at + LABEL_BYTES * labelCount > end) return undefined
  const labels: Array<Heat["labels"][number]> = []
  for (; labels.length < labelCount; at += LABEL_BYTES) {
    const label = latin1(bytes, at, CHARS).replace(/\0+$/, "")
    if (!isLabel(label) || labels.some((l) => l.label === label)) return undefined
    labels.push({ label, recorded: readU32(bytes, at + CHARS) })
  }
  const kept: Array<KeptReads> = []
  while (kept.length < readsCount) {
    if (at + READS_BYTES > end) return undefined
    const label = labels[readU32(bytes, at)]?.label
    const when = readU64(bytes, at + 4)
    const count = readU32(bytes, at + 12)
    at += READS_BYTES
    if (label === undefined || !Number.isSafeInteger(when) || count > limits.heatClustersMax || at + 8 * count > end)
      return undefined
    const [versions, clusters] = [new Uint32Array(count), new Uint32Array(count)]
    const seen = new ClusterTable(Math.max(1, count))
    for (let i = 0; i < count; i++, at += 8) {
      versions[i] = readU32(bytes, at)
      clusters[i] = readU32(bytes, at + 4)
      if (clusters[i]! * CLUSTER >= sizeBytes || versions[i] === 0 || !seen.add(clusters[i]!, 0)) return undefined
    }
    kept.push({ label, at: when, versions, clusters })
  }
  const ofLabel = (label: string) => kept.filter((k) => k.label === label).length
  if (at !== end || labels.some(({ label }) => ofLabel(label) > limits.heatKeptMax)) return undefined
  const imageId = latin1(bytes, 24, ID_BYTES)
  if (!/^[\x21-\x7e]{36}$/u.test(imageId)) return undefined
  return { ok: true, heat: { imageId, sizeBytes, labels, kept } }
}

const latin1 = (b: Uint8Array, at: number, length: number) =>
  Buffer.from(b.subarray(at, at + length)).toString("latin1")
