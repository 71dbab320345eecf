/**
 * The VMDK format: disks of VMware's programs, read-only, in one file or many.
 *
 *     monolithicSparse, streamOptimized   one sparse extent with the descriptor inside
 *     monolithicFlat                      a descriptor, and a file that is the disk
 *     twoGbMaxExtentSparse, …Flat         a descriptor, and a file for each part
 *     a delta disk                        any of these, and the descriptor names a parent
 *
 * VMware, "Virtual Disk Format 5.0" (header.ts, descriptor.ts, sparse.ts cite their parts). The kinds of extent decide, not `createType`.
 *
 * Not done: ESXi's own sparse extents (COWD and SESPARSE), which stay on its datastores, and raw device mappings. They are refused by name.
 */
import {
  type DiskLayer,
  defineFormat,
  type FormatContext,
  fail,
  layeredDisk,
  limits,
  openParentFile,
  type ProbeInput,
  type ProbeResult,
  parentNames,
  TableBudget,
  type Volume,
} from "imagelink/plugin"
import { type Descriptor, decodeDescriptor, type ExtentLine, isDescriptor } from "./descriptor.ts"
import { decodeHeader, headerBytes, isRefusal, type Refusal, SECTOR, type SparseHeader } from "./header.ts"
import { type Extent, layerOf } from "./layer.ts"
import { SparseExtent } from "./sparse.ts"

const FOOTER_FROM_END = 2 * SECTOR

export default defineFormat({
  apiVersion: 1,
  format: "vmdk",
  probe: (input) => probe(input),
  async open(volume, context) {
    const budget = new TableBudget(limits.formatTableBytesMax)
    const chain: Chain = {
      context,
      budget,
      volumes: [volume],
      dependsOn: [],
      judgedLeft: limits.formatTableJudgedBytesMax,
    }
    return layeredDisk(chain, () => openLayer(volume, context.path, chain))
  },
})

const magicOf = (bytes: Uint8Array): string => Buffer.from(bytes.subarray(0, 4)).toString("latin1")

const probe = ({ head }: ProbeInput): ProbeResult => {
  const magic = magicOf(head)
  return { match: magic === "KDMV" || magic === "COWD" || isDescriptor(head) ? "magic" : "no" }
}

/** What the files of one disk share. */
interface Chain {
  readonly context: FormatContext
  readonly budget: TableBudget
  readonly volumes: Array<Volume>
  readonly dependsOn: Array<string>
  /** Bytes of grain tables that opening may still read to judge them. */
  judgedLeft: number
}

/** A file of the chain, and how to refuse it. */
interface Asked {
  readonly volume: Volume
  readonly path: string
  readonly chain: Chain
}

const good = <A extends object>(answer: A | Refusal, path: string): A => {
  if (!isRefusal(answer)) return answer
  if ("damaged" in answer) throw fail("IMAGE_DAMAGED", { path, format: "vmdk", why: answer.damaged })
  throw fail("IMAGE_FORMAT_UNSUPPORTED", { path, format: "vmdk", why: answer.unknown })
}

const openLayer = async (volume: Volume, path: string, chain: Chain, contentId?: string): Promise<DiskLayer> => {
  const asked: Asked = { volume, path, chain }
  const magic = magicOf(await readUpTo(volume, 0, 4))
  const header = magic === "KDMV" || magic === "COWD" ? await headerOf(asked) : undefined
  const descriptor = await descriptorOf(asked, header)
  if (contentId !== undefined && descriptor.contentId !== contentId) throw strange(chain, path)
  const parent = descriptor.parent && (await openParent(asked, descriptor.parent))
  if (header !== undefined) {
    if (descriptor.extents.length !== 1) throw good({ unknown: "it is a sparse extent that describes several" }, path)
    return layerOf([await sparseExtent(asked, header, header.capacityBytes, 0, parent)])
  }
  const extents: Array<Extent> = []
  let startsAt = 0
  for (const line of descriptor.extents) {
    if (line.sizeBytes === 0 || startsAt + line.sizeBytes > limits.imageBytesMax)
      throw good({ damaged: `it cannot have an extent of ${line.sizeBytes} bytes` }, path)
    extents.push(await openExtent(asked, line, startsAt, parent))
    startsAt += line.sizeBytes
  }
  return layerOf(extents)
}

const headerOf = async ({ volume, path }: Asked): Promise<SparseHeader> => {
  const bytes = await readUpTo(volume, 0, headerBytes)
  if (bytes.length < headerBytes) throw good({ damaged: "its sparse extent has no whole header" }, path)
  const header = good(decodeHeader(bytes), path)
  if (header.directoryAt !== undefined) return header
  // "Stream-Optimized Compressed": footer marker, footer, end-of-stream marker are the last three sectors.
  const whole = volume.sizeBytes - (volume.sizeBytes % SECTOR)
  const footer = await readUpTo(volume, Math.max(0, whole - FOOTER_FROM_END), headerBytes)
  const atEnd = footer.length < headerBytes ? { damaged: "" } : decodeHeader(footer)
  if (isRefusal(atEnd) || atEnd.directoryAt === undefined)
    throw good({ damaged: "it does not end in a footer, which says where its tables are: it was cut short" }, path)
  return { ...atEnd, descriptor: header.descriptor }
}

const descriptorOf = async ({ volume, path }: Asked, header: SparseHeader | undefined): Promise<Descriptor> => {
  const { at, length } = header?.descriptor ?? { at: 0, length: volume.sizeBytes }
  const lone = () =>
    fail("IMAGE_FORMAT_UNSUPPORTED", {
      path,
      format: "vmdk extent",
      why: "it is one extent of a disk; the file that describes the disk is what to give",
    })
  if (length === 0) throw lone()
  if (length > limits.vmdkDescriptorBytesMax || at + length > volume.sizeBytes)
    throw good({ damaged: `its descriptor is said to have ${length} bytes` }, path)
  const bytes = await readUpTo(volume, at, length)
  // Some programs leave the place for one empty.
  if (bytes[0] === 0) throw lone()
  if (!isDescriptor(bytes)) throw good({ damaged: "it has no descriptor where one should be" }, path)
  return good(decodeDescriptor(bytes), path)
}

const openParent = async (asked: Asked, parent: NonNullable<Descriptor["parent"]>): Promise<DiskLayer> => {
  const { chain, path } = asked
  const found = await openParentFile(chain.context, path, parentNames([parent.hint], []))
  if (found === undefined) throw good({ damaged: "it is a delta disk, and names no parent" }, path)
  chain.volumes.push(found.volume)
  chain.dependsOn.push(found.name)
  return openLayer(found.volume, found.name, chain, parent.contentId)
}

const strange = ({ context }: Chain, needs: string) =>
  fail("IMAGE_DEPENDENCY_REFUSED", {
    path: context.path,
    needs,
    why: "it was written to since the child was made, or is another disk: the child names another CID",
  })

const openExtent = async (asked: Asked, line: ExtentLine, startsAt: number, parent?: DiskLayer): Promise<Extent> => {
  const { chain, path } = asked
  const { kind, sizeBytes } = line
  if (kind === "zero")
    return {
      startsAt,
      sizeBytes,
      *find(_offset, length) {
        return { kind: "zero", length }
      },
    }
  const found = await openParentFile(chain.context, path, [line.name])
  const { name, volume } = found!
  chain.volumes.push(volume)
  chain.dependsOn.push(name)
  if (kind === "sparse") {
    const header = await headerOf({ volume, path: name, chain })
    if (header.capacityBytes < sizeBytes)
      throw good({ damaged: `it has ${header.capacityBytes} of the ${sizeBytes} bytes that its disk expects` }, name)
    return sparseExtent({ volume, path: name, chain }, header, sizeBytes, startsAt, parent)
  }
  if (line.at + sizeBytes > volume.sizeBytes)
    throw good(
      { damaged: `it has ${volume.sizeBytes} of the ${line.at + sizeBytes} bytes that its disk expects` },
      name,
    )
  return {
    startsAt,
    sizeBytes,
    *find(offset, length) {
      return { kind: "data", volume, at: line.at + offset - startsAt, length }
    },
  }
}

const sparseExtent = async (
  { volume, path, chain }: Asked,
  header: SparseHeader,
  sizeBytes: number,
  startsAt: number,
  parent?: DiskLayer,
): Promise<Extent> => {
  const directoryAt = header.directoryAt!
  const { budget } = chain
  const own = { ...header, directoryAt }
  const extent = new SparseExtent({ volume, path, header: own, sizeBytes, startsAt, budget, ...(parent && { parent }) })
  chain.judgedLeft -= await extent.judge(Math.max(0, chain.judgedLeft))
  return { startsAt, sizeBytes, find: (offset, length) => extent.find(offset, length) }
}

/** What is there of a range. */
const readUpTo = async (volume: Volume, at: number, length: number): Promise<Buffer> => {
  const bytes = Buffer.alloc(Math.max(0, Math.min(length, volume.sizeBytes - at)))
  if (bytes.length > 0) await volume.read(bytes, 0, at, bytes.length)
  return bytes
}
