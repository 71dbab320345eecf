/** The installed plugins and formats, bound to this host: what the rest needs to open an image. */
import type { Host } from "../host.ts"
import { type OpenedImage, openImageFile } from "./open-image.ts"
import { openVolume } from "./open-volume.ts"
import type { StorageLocation } from "./plugin.ts"
import type { PluginRegistry } from "./registry.ts"
import type { VolumeIdentity } from "./volume.ts"

export interface ImageOpener {
  /** Opens an image as a guest sees it; without `format` its content decides. */
  open(location: StorageLocation, format?: string): Promise<OpenedImage>
  /** What identifies the bytes at a location now, by its name rather than by a handle that was opened before. */
  identify(location: StorageLocation): Promise<VolumeIdentity>
}

export const makeOpener = (plugins: PluginRegistry, host: Host): ImageOpener => {
  const { signal } = new AbortController()
  return {
    open: (location, format) =>
      openImageFile({
        location,
        plugins,
        formats: plugins.formats,
        host,
        signal,
        ...(format === undefined ? {} : { format }),
      }),
    async identify(location) {
      const volume = await openVolume(location, { plugins, host, signal })
      try {
        return await volume.identity()
      } finally {
        await volume.close()
      }
    },
  }
}
