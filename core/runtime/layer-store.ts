/**
 * Where committed versions are kept: `layers/<image id>/`, one qcow2 file of tables and one file of bytes for each.
 *
 *     layers/<image id>/v3.qcow2   tables; external data file v3.data, backing file parents/<image id>-v2/v2.qcow2
 *                       v3.data    the super overlay's own data file, under its second name
 *                       v5.qcow2 ─► v5-over-1.qcow2, once version 5 is flattened: tables and bytes of versions 2 to 5 in one file
 *                       v5-changes.qcow2   the tables that version 5 had until then
 *                       parents/<image id>-v1 ─► the folder of the image as it was added, or ../../../drafts
 *                       parents/<image id>-v2 ─► ..
 *
 * **Details** A sealed file never changes; where its parent is, only the pointer says. All layers of an image are in one folder under names of their
 * own, because qemu looks for a data file in the folder that it runs in: `cd layers/<image id> && qemu-img convert v3.qcow2 …` reads any version.
 * Nothing is announced before all of it is synced; what a crash left behind unannounced is made again, or swept away.
 */
import { posix } from "node:path"
import type { OwnExtents } from "../block/overlay/sealed.ts"
import type { Catalogue, VersionEntry } from "../domain/catalogue.ts"
import { limits } from "../limits.ts"
import type { SealInput } from "../storage/format.ts"
import { type ImageOpener, inData } from "../storage/opener.ts"
import type { StorageLocation } from "../storage/plugin.ts"
import type { VolumeFolder } from "../storage/volume.ts"
import type { DataFiles } from "./data-files.ts"
import { sparseWriter } from "./sparse-writer.ts"
import { makeTurns, type Turns } from "./turns.ts"

export const LAYER_FORMAT = "qcow2"
const LAYERS = "layers"

export interface SealRequest {
  readonly imageId: string
  readonly version: number
  readonly parent: VersionEntry
  /** The frozen generation's folder, relative to the data folder. */
  readonly overlay: string
  readonly own: OwnExtents
}

export interface SealedLayer {
  readonly storage: StorageLocation
  readonly files: VersionEntry["files"]
}

export interface LayerStore {
  seal(request: SealRequest): Promise<SealedLayer>
  /** Version 1 is read from another file of the same name now. */
  repoint(imageId: string, base: VersionEntry): Promise<void>
  /** All pointers to parents, of layers that were put back; nothing where there are none. */
  repointAll(imageId: string, versions: ReadonlyArray<VersionEntry>): Promise<void>
  /** How a layer that is written now names what it is read over. */
  backing(imageId: string, below: VersionEntry): Promise<{ readonly path: string; readonly format: string }>
  /** A file of an image as the log records it. */
  record(imageId: string, name: string): Promise<VersionEntry["files"][number]>
  /** The name by which layers above it know the version leads to the file that it is read from now. */
  pointFlattened(imageId: string, entry: VersionEntry): Promise<void>
  /** Removes files of a version that was flattened, but for those that it is read from now. */
  removeFlattened(imageId: string, before: VersionEntry, now: VersionEntry): Promise<void>
  /** Removes the files of a version that the log has retired. */
  remove(imageId: string, version: number): Promise<void>
  /** Removes all versions of an image that the log has removed. */
  removeImage(imageId: string): Promise<void>
  /**
   * Removes what no version in the catalogue is read from, and points to where version 1 is now. Only at a start: a commit that is under
   * way is not in the catalogue yet.
   */
  sweep(catalogue: Catalogue): Promise<void>
  /** Only one version of an image is flattened at a time. */
  readonly flattening: Turns
}

export const layerNames = (version: number) => ({ tables: `v${version}.qcow2`, data: `v${version}.data` })

/** Of a version that is read over another one than it was made on, or over none. */
export const flatNames = (version: number, over: number | null) => ({
  flat: `v${version}-${over === null ? "whole" : `over-${over}`}.qcow2`,
  changes: `v${version}-changes.qcow2`,
})

export const layerPath = (imageId: string, name: string): string => `${LAYERS}/${imageId}/${name}`

/** Names of the files that a committed version is read from, and of those that are kept beside them. */
const namesOf = ({ files, changes }: VersionEntry): ReadonlyArray<string> =>
  [...files, ...(changes?.files ?? [])].map(({ path }) => posix.basename(path))

const isFlattened = ({ changes }: VersionEntry): boolean => changes !== null

export const makeLayerStore = (data: VolumeFolder, files: DataFiles, opener: ImageOpener): LayerStore => {
  const root = data.folder(LAYERS)

  const point = async (imageId: string, parent: VersionEntry): Promise<string> => {
    const link = `parents/${imageId}-v${parent.number}`
    if (parent.number !== 1) {
      await files.pointTo(`${LAYERS}/${imageId}/${link}`, "..")
      return `${link}/${layerNames(parent.number).tables}`
    }
    const path = pathFromParents(parent)
    if (path !== undefined) await files.pointTo(`${LAYERS}/${imageId}/${link}`, posix.dirname(path))
    return `${link}/${posix.basename(path ?? "base")}`
  }

  const fileRecord = async (imageId: string, name: string) => {
    const storage = inData(`${LAYERS}/${imageId}/${name}`)
    const volume = await root.folder(imageId).open(name)
    const { sizeBytes } = volume
    await volume.close()
    const path = `${LAYERS}/${imageId}/${name}`
    const [identity = {}] = await opener.identify(storage, [{ path }])
    return { path, sizeBytes: String(sizeBytes), identity }
  }

  const pointFlattened = async (imageId: string, entry: VersionEntry): Promise<void> => {
    const [flat] = namesOf(entry)
    await files.pointTo(layerPath(imageId, layerNames(entry.number).tables), flat!)
  }

  return {
    flattening: makeTurns(),
    pointFlattened,
    record: fileRecord,
    backing: async (imageId, below) => ({ path: await point(imageId, below), format: below.format }),

    async removeFlattened(imageId, before, now) {
      const folder = root.folder(imageId)
      const wanted = new Set([...namesOf(now), layerNames(now.number).tables])
      for (const name of namesOf(before)) if (!wanted.has(name)) await folder.remove(name)
    },

    async seal({ imageId, version, parent, overlay, own }) {
      const folder = root.folder(imageId)
      const { tables, data: dataName } = layerNames(version)
      await folder.remove(tables)
      await files.link(`${overlay}/data`, `${LAYERS}/${imageId}/${dataName}`)
      const backing = { path: await point(imageId, parent), format: parent.format }
      const { sizeBytes } = own.header
      const { extents } = own
      const input = { sizeBytes, grainBytes: limits.grainBytes, extents, dataFile: dataName, parent: backing }
      await writeTables(folder, tables, input, opener)
      await folder.sync()
      const records = [await fileRecord(imageId, tables), await fileRecord(imageId, dataName)]
      return { storage: inData(`${LAYERS}/${imageId}/${tables}`), files: records }
    },

    async repoint(imageId, base) {
      if ((await root.folder(imageId).list()).length > 0) await point(imageId, base)
    },

    async repointAll(imageId, versions) {
      if ((await root.folder(imageId).list()).length === 0) return
      const below = versions.flatMap(({ over, retired }) => (over === null || retired ? [] : [over]))
      for (const number of new Set(below)) await point(imageId, versions[number - 1]!)
      for (const entry of versions) if (isFlattened(entry) && !entry.retired) await pointFlattened(imageId, entry)
    },

    async remove(imageId, version) {
      const folder = root.folder(imageId)
      const own = new RegExp(`^v${version}(\\.|-)`)
      for (const name of await folder.list()) if (own.test(name)) await folder.remove(name)
    },

    removeImage: (imageId) => root.remove(imageId),

    async sweep({ images }) {
      for (const imageId of await root.list()) {
        const image = images.get(imageId)
        if (image === undefined) {
          await root.remove(imageId)
          continue
        }
        const wanted = new Set(["parents"])
        for (const entry of image.versions.filter(({ number, retired }) => number !== 1 && !retired)) {
          for (const name of [...namesOf(entry), layerNames(entry.number).tables]) wanted.add(name)
          if (isFlattened(entry)) await pointFlattened(imageId, entry)
        }
        const [base] = image.versions
        if (base !== undefined && wanted.size > 1) await point(imageId, base)
        const folder = root.folder(imageId)
        for (const name of await folder.list()) if (!wanted.has(name)) await folder.remove(name)
      }
    },
  }
}

/** Where version 1 is, as a link in `parents/` names it; undefined when it is not a local file. The data folder may be moved with what is in it. */
const pathFromParents = ({ storage }: VersionEntry): string | undefined => {
  const { path, file } = storage.config as { readonly path?: unknown; readonly file?: unknown }
  if (storage.kind === "file" && typeof path === "string") return path
  return storage.kind === "data" && typeof file === "string" ? `../../../${file}` : undefined
}

/** Once to see how long the file gets, because a file is made at its length; then for real. */
const writeTables = async (
  folder: VolumeFolder,
  name: string,
  input: SealInput,
  opener: ImageOpener,
): Promise<void> => {
  const format = await opener.format(LAYER_FORMAT)
  let end = 0
  const measure = async (bytes: Uint8Array, offset: number) => {
    end = Math.max(end, offset + bytes.length)
  }
  await format.seal!(input, { write: measure })
  const file = await folder.open(name, { create: { sizeBytes: end } })
  try {
    await format.seal!(input, { write: sparseWriter(file) })
    await file.flush()
  } finally {
    await file.close()
  }
}
