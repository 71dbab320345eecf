/**
 * The VHD format: fixed, dynamic and differencing disks of Virtual PC, Hyper-V and Azure, read-only.
 *
 *     fixed          │ the disk …                                                │ footer │
 *     dynamic        │ copy of the footer │ header │ BAT │ block │ block │ …      │ footer │
 *     differencing   the same, and the header names a parent
 *
 * Virtual Hard Disk Image Format Specification 1.0 (footer.ts, header.ts, parent.ts, layer.ts cite their parts).
 *
 * **Details** The footer at the end decides. The copy at the front stands in only when that one is lost: the front of a fixed disk belongs to
 * its guest, who could otherwise write itself a header and choose a parent among this server's files.
 *
 * Not done: disks split over several files (.v01 …) and the 511-byte footer, which ended with Virtual PC 2004. Both are refused.
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
  TableBudget,
  type Volume,
} from "imagelink/plugin"
import { decodeFooter, type Footer, footerBytes, isFooter, noFooter } from "./footer.ts"
import { decodeHeader, type Header, headerBytes } from "./header.ts"
import { BlockLayer, fixedLayer } from "./layer.ts"
import { namesOfParent } from "./parent.ts"

export default defineFormat({
  apiVersion: 1,
  format: "vhd",
  probe: (input) => probe(input),
  async open(volume, context) {
    const chain: Chain = {
      context,
      budget: new TableBudget(limits.formatTableBytesMax),
      volumes: [volume],
      dependsOn: [],
      ids: [],
    }
    return layeredDisk(chain, () => openLayer(volume, context.path, chain))
  },
})

/** A fixed disk whose guest begins with another format's magic is left to that format: of two claims the stricter one counts. */
const otherMagics: ReadonlyArray<string> = ["QFI\xfb", "vhdxfile", "KDMV", "COWD", "# Disk DescriptorFile"]

const probe = ({ head, tail }: ProbeInput): ProbeResult => {
  if (isFooter(head)) return { match: "magic" }
  const front = Buffer.from(head.subarray(0, 32)).toString("latin1")
  const ours = tail.length === footerBytes && isFooter(tail) && !otherMagics.some((magic) => front.startsWith(magic))
  return { match: ours ? "magic" : "no" }
}

/** What the files of one disk share. */
interface Chain {
  readonly context: FormatContext
  readonly budget: TableBudget
  readonly volumes: Array<Volume>
  readonly dependsOn: Array<string>
  readonly ids: Array<string>
}

const openLayer = async (volume: Volume, path: string, chain: Chain, parentId?: string): Promise<DiskLayer> => {
  const damaged = (why: string) => fail("IMAGE_DAMAGED", { path, format: "vhd", why })
  const footer = await readFooter(volume, damaged)
  if (parentId !== undefined && footer.uniqueId !== parentId) throw strange(chain, path)
  if (chain.ids.includes(footer.uniqueId)) throw damaged("it is its own parent's parent")
  chain.ids.push(footer.uniqueId)
  if (footer.type === "fixed") {
    if (footer.sizeBytes > volume.sizeBytes - footerBytes)
      throw damaged(`its disk has ${footer.sizeBytes} bytes, and the file only ${volume.sizeBytes}`)
    return fixedLayer(volume, footer.sizeBytes)
  }
  const header = decodeHeader(await readAt(volume, footer.headerAt, headerBytes, damaged))
  if (typeof header === "string") throw damaged(header)
  const { entries, blockBytes, tableAt } = header
  if (entries * blockBytes < footer.sizeBytes)
    throw damaged(`its disk has ${footer.sizeBytes} bytes, and its table has place for ${entries * blockBytes}`)
  if (tableAt % 4 !== 0 || tableAt + entries * 4 > volume.sizeBytes)
    throw damaged(`its block allocation table is said to be at byte ${tableAt}`)
  const parent = footer.type === "differencing" ? await openParent(volume, path, chain, header) : undefined
  const { budget } = chain
  const layer = new BlockLayer({ volume, path, sizeBytes: footer.sizeBytes, header, budget, ...(parent && { parent }) })
  await layer.judge()
  return layer
}

const openParent = async (volume: Volume, path: string, chain: Chain, header: Header): Promise<DiskLayer> => {
  const found = await openParentFile(chain.context, path, await namesOfParent(volume, header))
  if (found === undefined)
    throw fail("IMAGE_DAMAGED", { path, format: "vhd", why: "it is a differencing disk, and names no parent" })
  chain.volumes.push(found.volume)
  chain.dependsOn.push(found.name)
  return openLayer(found.volume, found.name, chain, header.parentId)
}

const strange = ({ context }: Chain, needs: string) =>
  fail("IMAGE_DEPENDENCY_REFUSED", {
    path: context.path,
    needs,
    why: "it is not the disk that the child was made from: their unique ids differ",
  })

type Damaged = (why: string) => Error

const readFooter = async (volume: Volume, damaged: Damaged): Promise<Footer> => {
  const whole = volume.sizeBytes - (volume.sizeBytes % 512)
  const last = decodeFooter(await readAt(volume, whole - footerBytes, footerBytes, damaged))
  if (typeof last !== "string") return last
  const copy = decodeFooter(await readAt(volume, 0, footerBytes, damaged))
  if (typeof copy === "string") throw damaged(last === noFooter ? copy : last)
  if (copy.type === "fixed") throw damaged(last)
  return copy
}

const readAt = async (volume: Volume, at: number, length: number, damaged: Damaged): Promise<Buffer> => {
  if (at < 0 || at + length > volume.sizeBytes) throw damaged("it was cut short, or its footer is damaged")
  const bytes = Buffer.alloc(length)
  await volume.read(bytes, 0, at, length)
  return bytes
}
