/**
 * Makes and opens overlay generations.
 *
 * A generation is one folder: `header` (what it belongs to), `data` (guest bytes at their own offsets, sparse), `working` (the map that
 * a crash of the server leaves right) and, unless it is discarded, `durable` (the map that a power loss leaves right).
 *
 * | found at open                                           | answer                                               |
 * | ------------------------------------------------------- | ---------------------------------------------------- |
 * | no header                                               | OVERLAY_LOST                                         |
 * | header damaged, a file missing or short, a sector damaged | OVERLAY_DAMAGED                                    |
 * | bound to another generation, client, slot, image, version, policy or size | OVERLAY_BASE_MISMATCH              |
 * | written by this run of the host                         | opened, by its working map                           |
 * | another run, or one of the two not known; keep or super | opened, by its durable map                           |
 * | this run, and a sync failed in it; keep or super        | the same: its header says "not known" since then      |
 * | another run, or one of the two not known; discard       | OVERLAY_LOST                                         |
 *
 * Nothing here ever makes a fresh overlay in place of one that cannot be opened: a PC that gets an empty disk in the middle of its
 * work is worse off than one that gets an error.
 */
import { fail, isImagelinkError } from "../../errors.ts"
import type { VolumeFolder, WritableVolume } from "../../storage/volume.ts"
import type { BlockDevice } from "../device.ts"
import type { MapBudget } from "./budget.ts"
import { type FlushOrder, flushInOrder } from "./flush.ts"
import { directorySectorsOf, mapFileBytes, PAYLOAD_BYTES, SECTOR } from "./geometry.ts"
import {
  distrustWorking,
  encodeHeader,
  HEADER_FILE,
  type OverlayBinding,
  type OverlayHeader,
  readHeader,
  tagOf,
} from "./header.ts"
import { GrainMap, type MapContents } from "./map.ts"
import { Overlay } from "./overlay.ts"
import type { QuotaUse, SharedSpace } from "./quota.ts"
import { catchUp, rebuildWorking } from "./recover.ts"
import { MapDamage, scanMap } from "./scan.ts"

export const DATA_FILE = "data"
export const WORKING_FILE = "working"
export const DURABLE_FILE = "durable"

export interface OverlayOptions {
  readonly folder: VolumeFolder
  /** The version it lies over. It is read only, and the overlay does not close it. */
  readonly base: BlockDevice
  readonly binding: OverlayBinding
  /** The client's name, for messages. */
  readonly client: string
  /** `host.bootId()`; undefined where the host cannot tell. */
  readonly hostBootId: string | undefined
  /** Shared by all overlays of a server. */
  readonly budget: MapBudget
  readonly quotaBytes?: number
  /** Called once when 80 % of the quota is used. */
  readonly onQuotaWarning?: (use: QuotaUse) => void
  /** The disk that all overlays of a server lie on. */
  readonly shared?: SharedSpace | undefined
  /** Only for specs that prove what another order of the steps loses. */
  readonly flushOrder?: FlushOrder
}

/**
 * Makes a new generation, empty, and opens it.
 *
 * **Gotchas** Only for a generation that nobody was promised yet: files that a crash in here left without a header are removed.
 * When it settles the generation survives a `kill -9`, and, unless it is discarded, a power loss.
 * @throws NO_SPACE IO_ERROR OVERLAY_DAMAGED when there is a header already
 */
export const createOverlay = async (options: OverlayOptions): Promise<Overlay> => {
  const { folder, binding, base } = options
  if ((await folder.readFile(HEADER_FILE)) !== undefined) {
    throw fail("OVERLAY_DAMAGED", { path: folder.path, why: "another overlay is in the way there" })
  }
  for (const name of [DATA_FILE, WORKING_FILE, DURABLE_FILE]) await folder.remove(name)
  const { sizeBytes } = base
  return closingOnError(async (opened) => {
    const create = async (name: string, bytes: number) =>
      opened(await folder.open(name, { create: { sizeBytes: bytes } }))
    const data = await create(DATA_FILE, sizeBytes)
    const working = await create(WORKING_FILE, mapFileBytes(sizeBytes))
    const durable = binding.policy === "discard" ? undefined : await create(DURABLE_FILE, mapFileBytes(sizeBytes))
    const reserved = new Uint8Array(directorySectorsOf(sizeBytes) * SECTOR)
    await working.write(reserved, 0, 0, reserved.length)
    if (durable !== undefined) {
      await durable.write(reserved, 0, 0, reserved.length)
      await data.flush()
      await durable.flush()
    }
    await folder.sync()
    const header: OverlayHeader = { ...binding, sizeBytes, hostBootId: options.hostBootId ?? "" }
    await folder.replaceFile(HEADER_FILE, encodeHeader(header))
    const directory = new Uint8Array(directorySectorsOf(sizeBytes) * PAYLOAD_BYTES)
    return assemble(options, header, { data, working, durable }, { directory, dataGrains: 0, zeroGrains: 0 })
  })
}

/** Opens a generation over its own base. @throws OVERLAY_LOST OVERLAY_DAMAGED OVERLAY_BASE_MISMATCH IO_ERROR */
export const openOverlay = async (options: OverlayOptions): Promise<Overlay> => {
  const { folder, client, binding, base } = options
  const lost = (why: string) => fail("OVERLAY_LOST", { client, slot: binding.slot, why })
  const header = await readHeader(folder)
  if (header === undefined) throw lost("its files are not there any more")
  checkBinding(folder, header, binding, base.sizeBytes)
  const sameRun = header.hostBootId !== "" && header.hostBootId === options.hostBootId
  if (!sameRun && header.policy === "discard") {
    throw lost("the server's machine restarted, or may have; this overlay does not outlive that")
  }
  try {
    return await closingOnError((opened) => openFiles(options, header, sameRun, opened))
  } catch (e) {
    if (e instanceof MapDamage) throw fail("OVERLAY_DAMAGED", { path: folder.path, why: e.message }, { underlying: e })
    throw e
  }
}

const openFiles = async (
  options: OverlayOptions,
  header: OverlayHeader,
  sameRun: boolean,
  opened: (volume: WritableVolume) => WritableVolume,
): Promise<Overlay> => {
  const { folder } = options
  const { sizeBytes } = header
  const tag = tagOf(header)
  const open = async (name: string) => opened(await openFile(folder, name))
  const data = await open(DATA_FILE)
  if (data.sizeBytes !== sizeBytes) {
    throw new MapDamage(`its data file is ${data.sizeBytes} bytes long where ${sizeBytes} are needed`)
  }
  if (header.policy === "discard") {
    const working = await open(WORKING_FILE)
    return assemble(options, header, { data, working, durable: undefined }, await scanMap(working, sizeBytes, tag))
  }
  const durable = await open(DURABLE_FILE)
  if (sameRun) {
    const working = await open(WORKING_FILE)
    const contents = await catchUp(folder, header, { data, working, durable })
    return assemble(options, header, { data, working, durable }, contents)
  }
  const contents = await scanMap(durable, sizeBytes, tag)
  const working = opened(await rebuildWorking(folder, WORKING_FILE, sizeBytes, contents.directory, durable))
  const renewed = { ...header, hostBootId: options.hostBootId ?? "" }
  await folder.replaceFile(HEADER_FILE, encodeHeader(renewed))
  return assemble(options, header, { data, working, durable }, contents)
}

interface Files {
  readonly data: WritableVolume
  readonly working: WritableVolume
  readonly durable: WritableVolume | undefined
}

/** Puts the parts together; `contents` are those of the working map. */
const assemble = (options: OverlayOptions, header: OverlayHeader, files: Files, contents: MapContents): Overlay => {
  const map = new GrainMap(header.sizeBytes, tagOf(header), files, options.budget, contents)
  return new Overlay({
    ...files,
    header,
    map,
    distrust: () => distrustWorking(options.folder, header),
    client: options.client,
    base: options.base,
    quotaBytes: options.quotaBytes,
    onQuotaWarning: options.onQuotaWarning,
    shared: options.shared,
    flushOrder: options.flushOrder ?? flushInOrder,
  })
}

const checkBinding = (
  folder: VolumeFolder,
  header: OverlayHeader,
  binding: OverlayBinding,
  sizeBytes: number,
): void => {
  const wants = describe(header, header.sizeBytes)
  const got = describe(binding, sizeBytes)
  if (wants !== got) throw fail("OVERLAY_BASE_MISMATCH", { path: folder.path, wants, got })
}

const describe = (b: OverlayBinding, sizeBytes: number) =>
  `image ${b.imageId}@${b.version} of ${sizeBytes} bytes (${b.policy}, client ${b.clientId} slot ${b.slot}, generation ${b.generation})`

/** @throws MapDamage when it is not there */
export const openFile = async (folder: VolumeFolder, name: string): Promise<WritableVolume> => {
  try {
    return await folder.open(name)
  } catch (e) {
    const code = isImagelinkError(e) ? e.code : (e as { code?: unknown } | null)?.code
    if (code === "IMAGE_FILE_NOT_FOUND" || code === "ENOENT") throw new MapDamage(`its ${name} file is not there`)
    throw e
  }
}

/** Runs `make`, and closes every volume it reported when it fails. */
export const closingOnError = async <A>(
  make: (opened: (volume: WritableVolume) => WritableVolume) => Promise<A>,
): Promise<A> => {
  const volumes: Array<WritableVolume> = []
  try {
    return await make((volume) => {
      volumes.push(volume)
      return volume
    })
  } catch (e) {
    await Promise.allSettled(volumes.map((v) => v.close()))
    throw e
  }
}
