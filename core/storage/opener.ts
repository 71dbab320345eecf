/**
 * The installed plugins and formats, bound to this host: what the rest needs to open an image.
 *
 * **Details** What lies in the data folder itself is recorded as kind `data` with a name relative to it, so that the folder can be moved; it is read
 * by the file plugin. Only its modification time identifies such a file: nobody else writes there, and a backup that is put back has it too.
 */
import type { Extent } from "../block/device.ts"
import { fail } from "../errors.ts"
import type { Host } from "../host.ts"
import type { DiskFormat } from "./format.ts"
import type { GuardedVolume } from "./guard.ts"
import type { OpenedImage } from "./open-image.ts"
import type { StorageLocation } from "./plugin.ts"
import type { PluginRegistry } from "./registry.ts"
import type { VolumeIdentity } from "./volume.ts"

export interface ImageOpener {
  /** Where a path or an address is. @throws PLUGIN_NOT_FOUND */
  locate(place: string): Promise<StorageLocation>
  /** Whether reading it crosses no network, as its plugin promises. @throws PLUGIN_NOT_FOUND */
  isLocal(location: StorageLocation): Promise<boolean>
  /** Opens an image as a guest sees it; without `format` its content decides. */
  open(location: StorageLocation, format?: string): Promise<OpenedImage>
  /**
   * What identifies the bytes of an image's files now, by their names rather than by handles that were opened before. `files` are those
   * that an opening told, the image first. Undefined for one that the storage cannot find by its path.
   */
  identify(
    location: StorageLocation,
    files: ReadonlyArray<{ readonly path: string }>,
  ): Promise<ReadonlyArray<VolumeIdentity | undefined>>
  /** Opens a sealed layer by itself: its tables, and the file that has its bytes. */
  openLayer(location: StorageLocation, format: string): Promise<OpenedLayer>
  /** Opens the tables of a sealed layer, whether or not its bytes are there. */
  openTables(location: StorageLocation, format: string): Promise<OpenedTables>
  /** @throws IMAGE_FORMAT_UNSUPPORTED */
  format(name: string): Promise<DiskFormat>
  /** Where a location of kind `data` is on this machine. */
  pathOf(location: StorageLocation): string | undefined
}

export interface OpenedTables {
  readonly sizeBytes: number
  runs(): AsyncIterable<Extent>
  readonly identity: VolumeIdentity
  close(): Promise<void>
}

export interface OpenedLayer {
  readonly sizeBytes: number
  runs(): AsyncIterable<Extent>
  /** Guest bytes at their own offsets. */
  readonly data: Pick<GuardedVolume, "sizeBytes" | "read" | "readSync" | "extents">
  /** Of its tables and of its bytes. */
  readonly identities: ReadonlyArray<VolumeIdentity>
  close(): Promise<void>
}

/** A file of the data folder, by its name in there with `/` between folders. */
export const inData = (file: string): StorageLocation => ({ kind: "data", config: { file } })

const fileIn = ({ kind, config }: StorageLocation): string | undefined => {
  const file: unknown = kind === "data" ? (config as { readonly file?: unknown }).file : undefined
  return typeof file === "string" ? file : undefined
}

/** Milliseconds, because that is what tools which copy files keep. */
const onlyTime = ({ mtimeNs = "0" }: VolumeIdentity): VolumeIdentity => ({
  mtimeMs: String(BigInt(mtimeNs) / 1_000_000n),
})

/** Part of a file, as a volume of its own. */
const movedBy = (file: GuardedVolume, by: number, sizeBytes: number): OpenedLayer["data"] => ({
  sizeBytes,
  read: (into, at, offset, length, signal) => file.read(into, at, offset + by, length, signal),
  readSync: (into, at, offset, length) => file.readSync(into, at, offset + by, length),
  extents: async (offset, length, max) =>
    (await file.extents(offset + by, length, max)).map((e) => ({ ...e, offset: e.offset - by })),
})

export const makeOpener = (registry: () => Promise<PluginRegistry>, host: Host, dataDir: string): ImageOpener => {
  const { signal } = new AbortController()
  const resolved = (location: StorageLocation): StorageLocation => {
    const file = fileIn(location)
    return file === undefined ? location : { kind: "file", config: { path: `${dataDir}/${file}` } }
  }
  const identityOf = (location: StorageLocation, identity: VolumeIdentity) =>
    fileIn(location) === undefined ? identity : onlyTime(identity)
  const openFile = async (location: StorageLocation): Promise<GuardedVolume> => {
    const { openVolume } = await import("./open-volume.ts")
    return openVolume(resolved(location), { plugins: await registry(), host, signal })
  }
  const formatOf = async (name: string): Promise<DiskFormat> => {
    const format = (await registry()).formats.find((f) => f.format === name)
    if (format === undefined) throw fail("IMAGE_FORMAT_UNSUPPORTED", { path: "a layer", format: name })
    return format
  }
  const tablesOf = async (location: StorageLocation, name: string) => {
    const format = await formatOf(name)
    const file = fileIn(location)
    if (format.map === undefined || file === undefined)
      throw fail("IMAGE_FORMAT_UNSUPPORTED", { path: "a layer", format: name })
    const volume = await openFile(location)
    try {
      const identity = onlyTime(await volume.identity())
      const tables = await format.map(volume, { signal, path: `${dataDir}/${file}` })
      return { file, volume, identity, tables }
    } catch (e) {
      await volume.close()
      throw e
    }
  }
  return {
    locate: async (place) => (await registry()).locate(place),
    isLocal: async (location) => (await registry()).storage(resolved(location).kind).manifest.local,
    async open(location, format) {
      const plugins = await registry()
      const { openImageFile } = await import("./open-image.ts")
      const chosen = format === undefined ? {} : { format }
      const opened = await openImageFile({
        location: resolved(location),
        plugins,
        formats: plugins.formats,
        host,
        signal,
        ...chosen,
      })
      const [first, ...others] = opened.files
      return { ...opened, files: [{ ...first!, identity: identityOf(location, first!.identity) }, ...others] }
    },
    async identify(location, [image, ...others]) {
      const { placeBeside } = await import("./open-image.ts")
      const plugins = await registry()
      const inside = fileIn(location) !== undefined
      const identityAt = async (place: StorageLocation | undefined): Promise<VolumeIdentity | undefined> => {
        if (place === undefined) return undefined
        const volume = await openFile(place)
        try {
          return identityOf(place, await volume.identity())
        } finally {
          await volume.close()
        }
      }
      const besideOf = (path: string) =>
        inside ? inData(path) : placeBeside(plugins.storage(location.kind), location, image?.path, path)
      const beside = others.map(({ path }) => besideOf(path))
      return Promise.all([location, ...beside].map(identityAt))
    },

    async openTables(location, name) {
      const { identity, tables } = await tablesOf(location, name)
      return { sizeBytes: tables.sizeBytes, runs: tables.runs, identity, close: tables.close }
    },

    async openLayer(location, name) {
      const { file, volume, identity, tables } = await tablesOf(location, name)
      const { sizeBytes, runs, dataFile } = tables
      if (dataFile === undefined)
        return {
          ...{ sizeBytes, runs, close: tables.close },
          data: movedBy(volume, tables.dataOffset, sizeBytes),
          identities: [identity],
        }
      try {
        const folder = file.slice(0, file.lastIndexOf("/") + 1)
        const data = await openFile(inData(folder + dataFile))
        const close = async () => {
          await data.close()
          await tables.close()
        }
        const identities = [identity, onlyTime(await data.identity())]
        return { sizeBytes, runs, data, identities, close }
      } catch (e) {
        await volume.close()
        throw e
      }
    },

    format: formatOf,
    pathOf(location) {
      const file = fileIn(location)
      return file === undefined ? undefined : `${dataDir}/${file}`
    },
  }
}
