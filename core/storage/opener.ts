/** The installed plugins and formats, bound to this host: what the rest needs to open an image. */
import type { Host } from "../host.ts"
import type { OpenedImage } from "./open-image.ts"
import type { StorageLocation } from "./plugin.ts"
import type { PluginRegistry } from "./registry.ts"
import type { VolumeIdentity } from "./volume.ts"

export interface ImageOpener {
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
}

export const makeOpener = (registry: () => Promise<PluginRegistry>, host: Host): ImageOpener => {
  const { signal } = new AbortController()
  return {
    async open(location, format) {
      const plugins = await registry()
      const { openImageFile } = await import("./open-image.ts")
      const chosen = format === undefined ? {} : { format }
      return openImageFile({ location, plugins, formats: plugins.formats, host, signal, ...chosen })
    },
    async identify(location, [image, ...others]) {
      const { openVolume } = await import("./open-volume.ts")
      const { placeBeside } = await import("./open-image.ts")
      const plugins = await registry()
      const identityAt = async (place: StorageLocation | undefined): Promise<VolumeIdentity | undefined> => {
        if (place === undefined) return undefined
        const volume = await openVolume(place, { plugins, host, signal })
        try {
          return await volume.identity()
        } finally {
          await volume.close()
        }
      }
      const beside = others.map(({ path }) => placeBeside(plugins.storage(location.kind), location, image?.path, path))
      return Promise.all([location, ...beside].map(identityAt))
    },
  }
}
