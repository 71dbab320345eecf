/**
 * The VHDX format: fixed, dynamic and differencing disks of Hyper-V, read-only.
 *
 *     │ identifier, headers, region tables │ log │ metadata │ BAT │ block │ bitmap │ block │ …      every part at a multiple of 1 MiB
 *
 * MS-VHDX, "Virtual Hard Disk v2 (VHDX) File Format" (headers.ts, log.ts, metadata.ts, layer.ts cite their sections).
 *
 * **Details** A file whose log is in use is read as it will be once that was replayed; the file itself is never written. A region or metadata
 * item that is marked as required and is not known here is refused by its id.
 */
import {
  type DiskLayer,
  defineFormat,
  type FormatContext,
  fail,
  layeredDisk,
  limits,
  openParentFile,
  parentNames,
  TableBudget,
  type Volume,
} from "imagelink/plugin"
import { zeroGuid } from "./guid.ts"
import { type Header, isRefusal, type Refusal, readHeader, readRegions } from "./headers.ts"
import { VhdxLayer } from "./layer.ts"
import { replayLog } from "./log.ts"
import { type ParentLocator, readMetadata } from "./metadata.ts"

const SIGNATURE = "vhdxfile"

export default defineFormat({
  apiVersion: 1,
  format: "vhdx",
  probe: ({ head }) => ({
    match: Buffer.from(head.subarray(0, SIGNATURE.length)).toString("latin1") === SIGNATURE ? "magic" : "no",
  }),
  async open(volume, context) {
    const budget = new TableBudget(limits.formatTableBytesMax)
    const chain: Chain = { context, budget, volumes: [volume], dependsOn: [], ids: [] }
    return layeredDisk(chain, () => openLayer(volume, context.path, chain))
  },
})

/** What the files of one disk share. */
interface Chain {
  readonly context: FormatContext
  readonly budget: TableBudget
  readonly volumes: Array<Volume>
  readonly dependsOn: Array<string>
  readonly ids: Array<string>
}

const openLayer = async (file: Volume, path: string, chain: Chain, child?: ParentLocator): Promise<DiskLayer> => {
  const good = <A extends object>(answer: A | Refusal): A => {
    if (!isRefusal(answer)) return answer
    if ("damaged" in answer) throw fail("IMAGE_DAMAGED", { path, format: "vhdx", why: answer.damaged })
    throw fail("IMAGE_FORMAT_UNSUPPORTED", { path, format: "vhdx", why: answer.unknown })
  }
  const header = good(await headerOf(file))
  if (child !== undefined && !child.linkages.includes(header.dataWriteId)) throw strange(chain, path)
  if (chain.ids.includes(header.dataWriteId)) throw good({ damaged: "it is its own parent's parent" })
  chain.ids.push(header.dataWriteId)
  const volume = header.logId === zeroGuid ? file : good(await replayLog(file, header))
  const { bat, metadata: place } = good(await readRegions(volume))
  const metadata = good(await readMetadata(volume, place))
  const parent = metadata.parent && (await openParent(path, chain, metadata.parent))
  const { budget } = chain
  const layer = new VhdxLayer({ volume, path, bat, metadata, budget, ...(parent && { parent }) })
  await layer.judge()
  return layer
}

/** The signature as well: a parent was not probed. */
const headerOf = async (file: Volume): Promise<Header | Refusal> => {
  const signature = Buffer.alloc(Math.min(SIGNATURE.length, file.sizeBytes))
  if (signature.length > 0) await file.read(signature, 0, 0, signature.length)
  return signature.toString("latin1") === SIGNATURE ? readHeader(file) : { damaged: "it does not begin as a vhdx file" }
}

const openParent = async (path: string, chain: Chain, locator: ParentLocator): Promise<DiskLayer> => {
  const found = await openParentFile(chain.context, path, parentNames(locator.relative, locator.absolute))
  if (found === undefined)
    throw fail("IMAGE_DAMAGED", { path, format: "vhdx", why: "it is a differencing disk, and names no parent" })
  chain.volumes.push(found.volume)
  chain.dependsOn.push(found.name)
  return openLayer(found.volume, found.name, chain, locator)
}

const strange = ({ context }: Chain, needs: string) =>
  fail("IMAGE_DEPENDENCY_REFUSED", {
    path: context.path,
    needs,
    why: "it was written to since the child was made, or is another disk: the child names another data write id",
  })
