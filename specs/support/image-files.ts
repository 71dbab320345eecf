/** Opens image files as the server does, through the file plugin and the formats that are installed, and reads their disks. */
import { linuxHost } from "../../adapters/host/linux.ts"
import type { DiskFormat } from "../../core/storage/format.ts"
import { type OpenedImage, openImageFile } from "../../core/storage/open-image.ts"
import { PluginRegistry } from "../../core/storage/registry.ts"
import file from "../../plugins/file/index.ts"
import qcow2 from "../../plugins/formats/qcow2/index.ts"
import raw from "../../plugins/formats/raw/index.ts"

const STEP = 1024 * 1024

export const openFile = (path: string, formats: ReadonlyArray<DiskFormat> = [raw, qcow2]): Promise<OpenedImage> => {
  const plugins = new PluginRegistry().add(file, "file")
  const { signal } = new AbortController()
  return openImageFile({ location: { kind: "file", config: { path } }, plugins, formats, host: linuxHost(), signal })
}

/** All of a disk, read in steps. */
export const readDisk = async ({ disk, sizeBytes }: OpenedImage): Promise<Buffer> => {
  const bytes = Buffer.alloc(sizeBytes, 0xa5)
  for (let at = 0; at < sizeBytes; at += STEP) await disk.read(bytes, at, at, Math.min(STEP, sizeBytes - at))
  return bytes
}
