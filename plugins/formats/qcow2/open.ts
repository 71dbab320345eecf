/**
 * Opens a qcow2 file: header, extensions, the L1 table, and the files that it names.
 *
 * **Details** Features are judged before anything else is believed. Every table must lie in the file, so what is allocated here is never more than the
 * file is long. Names of other files are read by file-names.ts, and judged by core.
 *
 * **Gotchas** A backing file whose format the image does not name is told by its content, and so it is only as safe as whoever writes to it.
 */
import { posix } from "node:path"
import { type FormatContext, type FormatDisk, fail, limits, type Volume } from "imagelink/plugin"
import { Qcow2Disk } from "./disk.ts"
import { decodeExtensions, decodeName, type Extensions } from "./extensions.ts"
import { type FileName, fileNameOf } from "./file-names.ts"
import { formatOfQemu } from "./format-names.ts"
import { type Geometry, geometryOf } from "./geometry.ts"
import { compressionOf, decodeHeader, feature, type Header, judgeFeatures, judgeHeader } from "./header.ts"
import { ClusterMap } from "./map.ts"
import { type Refusals, refusalsOf } from "./refusals.ts"

/** @throws IMAGE_DAMAGED IMAGE_FORMAT_UNSUPPORTED IMAGE_DEPENDENCY_REFUSED IMAGE_FILE_NOT_FOUND IMAGE_ACCESS_DENIED IMAGE_TOO_LARGE */
export const openQcow2 = async (image: Volume, context: FormatContext): Promise<FormatDisk> => {
  const { path, signal } = context
  const refuse = refusalsOf(path)
  const { header, extensions } = await readHeader(image, refuse, signal)
  const compression = compressionOf(header, refuse)
  if (header.sizeBytes > limits.imageBytesMax)
    throw fail("IMAGE_TOO_LARGE", { path, sizeBytes: header.sizeBytes, maxBytes: limits.imageBytesMax })
  const below = await readBackingName(image, header, refuse, signal)

  const dataName = dataFileName(header, extensions, refuse)
  const data = dataName === undefined ? image : await context.sibling(dataName)
  const geometry = geometryOf(header, image.sizeBytes, data.sizeBytes)
  const l1 = await readL1(image, header, geometry, refuse, signal)
  const backing = below === undefined ? undefined : await openBacking(below, extensions, context, refuse)
  return new Qcow2Disk({
    path,
    sizeBytes: header.sizeBytes,
    clusterBytes: geometry.clusterBytes,
    compression,
    map: new ClusterMap(image, geometry, l1),
    image,
    data,
    backing,
    dependsOn: [...(dataName === undefined ? [] : [dataName]), ...namesBelow(below?.name, backing)],
  })
}

/** Header and extensions, judged. @throws IMAGE_DAMAGED IMAGE_FORMAT_UNSUPPORTED */
export const readHeader = async (image: Volume, refuse: Refusals, signal: AbortSignal) => {
  const head = await readPart(image, 0, Math.min(limits.qcow2HeaderBytesMax, image.sizeBytes), signal)
  const header = decodeHeader(head, refuse)
  const extensions = decodeExtensions(extensionArea(head, header), refuse)
  judgeFeatures(header, extensions.featureNames, refuse)
  judgeHeader(header, image.sizeBytes, refuse)
  return { header, extensions }
}

const readPart = async (volume: Volume, offset: number, length: number, signal: AbortSignal): Promise<Uint8Array> => {
  const bytes = new Uint8Array(length)
  if (length > 0) await volume.read(bytes, 0, offset, length, signal)
  return bytes
}

/** Extensions end at the first cluster's end, or at the backing file's name. */
const extensionArea = (head: Uint8Array, { headerBytes, clusterBits, backingName }: Header): Uint8Array =>
  head.subarray(headerBytes, Math.min(head.length, 2 ** Math.min(clusterBits, 31), backingName?.offset ?? head.length))

const readBackingName = async (
  image: Volume,
  { backingName, clusterBits }: Header,
  refuse: Refusals,
  signal: AbortSignal,
): Promise<FileName | undefined> => {
  if (backingName === undefined) return undefined
  const { offset, bytes } = backingName
  if (bytes === 0) return undefined
  const end = Math.min(2 ** clusterBits, image.sizeBytes)
  if (bytes > limits.qcow2BackingNameBytesMax || offset + bytes > end)
    throw refuse.damaged("the backing file's name lies outside the first cluster, or is too long")
  const name = decodeName(await readPart(image, offset, bytes, signal), "the backing file's name", refuse)
  return fileNameOf(name, refuse)
}

export const dataFileName = (header: Header, { dataFile }: Extensions, refuse: Refusals): string | undefined => {
  if (!header.incompatible.includes(feature.externalData)) return undefined
  if (dataFile === undefined) throw refuse.dependency("an external data file", "the image does not say its name")
  return fileNameOf(dataFile, refuse).name
}

export const readL1 = async (
  image: Volume,
  { l1, sizeBytes }: Header,
  { tableSpanBytes }: Geometry,
  refuse: Refusals,
  signal: AbortSignal,
): Promise<Uint8Array> => {
  const entries = Math.ceil(sizeBytes / tableSpanBytes)
  if (entries > l1.entries) throw refuse.damaged(`its L1 table of ${l1.entries} entries is too short for its disk`)
  const bytes = entries * 8
  if (bytes > limits.qcow2L1BytesMax) throw refuse.unsupported(`its L1 table would take ${bytes} bytes`)
  if (l1.offset + bytes > image.sizeBytes) throw refuse.damaged("its L1 table runs past the end of the file")
  return readPart(image, l1.offset, bytes, signal)
}

const openBacking = (
  { name, format: named }: FileName,
  { backingFormat = named }: Extensions,
  context: FormatContext,
  refuse: Refusals,
): Promise<FormatDisk> => {
  if (backingFormat === undefined) return context.disk(name)
  const format = formatOfQemu(backingFormat)
  if (format === undefined) throw refuse.dependency(name, "its format has a name that no format can have")
  return context.disk(name, format)
}

/** The backing file's own files are named relative to it. */
const namesBelow = (name: string | undefined, backing: FormatDisk | undefined): ReadonlyArray<string> =>
  name === undefined || backing === undefined
    ? []
    : [name, ...backing.dependsOn.map((below) => posix.join(posix.dirname(name), below))]
