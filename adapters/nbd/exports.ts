/**
 * Export names, and what a leased disk tells an NBD client about itself.
 *
 *     client/PC-001/0      the disk in slot 0 of a client, writable
 *     image/win11@3        version 3 of an image, read-only; without @V the current one
 *
 * **Details** Parsing is strict: one spelling per export, no default export. Names of clients and images keep the case they were asked
 * in; whoever looks them up compares without regard to it.
 */
import type { BlockDevice } from "../../core/block/device.ts"
import { limits } from "../../core/limits.ts"
import type { ExportInfo } from "./options.ts"
import {
  FLAG_CAN_MULTI_CONN,
  FLAG_HAS_FLAGS,
  FLAG_READ_ONLY,
  FLAG_SEND_CACHE,
  FLAG_SEND_DF,
  FLAG_SEND_FAST_ZERO,
  FLAG_SEND_FLUSH,
  FLAG_SEND_FUA,
  FLAG_SEND_TRIM,
  FLAG_SEND_WRITE_ZEROES,
} from "./transmission.ts"

export type ExportName =
  | { readonly kind: "client"; readonly client: string; readonly slot: number }
  | { readonly kind: "image"; readonly image: string; readonly version: number | undefined }

const clientExport = /^client\/([A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)\/(0|[1-9][0-9]?)$/u
const imageExport = /^image\/([A-Za-z0-9-]+)(?:@([1-9][0-9]{0,8}))?$/u

/** Undefined when it is not an export's name. */
export const parseExportName = (name: string): ExportName | undefined => {
  const [, client, slot] = clientExport.exec(name) ?? []
  if (client !== undefined) {
    const fits = client.length <= limits.clientNameCharsMax && Number(slot) <= limits.slotMax
    return fits ? { kind: "client", client, slot: Number(slot) } : undefined
  }
  const [, image, version] = imageExport.exec(name) ?? []
  if (image === undefined || image.length > limits.imageNameCharsMax) return undefined
  return { kind: "image", image, version: version === undefined ? undefined : Number(version) }
}

/**
 * The flags of a disk ("Transmission flags").
 *
 * **Details** FLUSH and FUA are announced always: where nothing can be made durable they succeed and promise no more than a write does.
 * CAN_MULTI_CONN holds because all connections to a client's disk meet in one overlay, so a flush of one covers all.
 */
export const transmissionFlags = (device: BlockDevice, structured: boolean): number => {
  const { writable, trim } = device.features
  return (
    FLAG_HAS_FLAGS |
    FLAG_SEND_FLUSH |
    FLAG_SEND_FUA |
    FLAG_CAN_MULTI_CONN |
    FLAG_SEND_CACHE |
    (structured ? FLAG_SEND_DF : 0) |
    (writable ? FLAG_SEND_WRITE_ZEROES | FLAG_SEND_FAST_ZERO : FLAG_READ_ONLY) |
    (writable && trim ? FLAG_SEND_TRIM : 0)
  )
}

/** The smallest unit a client may address. */
export const minimumBytes = (device: BlockDevice): number =>
  device.features.byteGranular ? 1 : device.logicalBlockBytes

export const describeExport = (
  name: string,
  description: string,
  device: BlockDevice,
  structured: boolean,
): ExportInfo => ({
  name,
  description,
  sizeBytes: device.sizeBytes,
  transmissionFlags: transmissionFlags(device, structured),
  minimumBytes: minimumBytes(device),
  preferredBytes: Math.max(device.physicalBlockBytes, device.logicalBlockBytes),
  payloadBytesMax: limits.ioBytesMax,
})
