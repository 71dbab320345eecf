/**
 * The raw format: the file's bytes are the disk's bytes.
 *
 * **Details** Anything may be a raw disk, so its probe is the fallback, and the one place that names what is certainly no raw disk: another
 * format's header, an archive, a document (foreign.ts). ISO 9660 images are disks and pass.
 */
import { defineFormat, type FormatDisk, type Volume } from "imagelink/plugin"
import { foreignName } from "./foreign.ts"

export default defineFormat({
  apiVersion: 1,
  format: "raw",
  probe(input) {
    const what = foreignName(input)
    return what === undefined ? { match: "fallback" } : { match: "foreign", what }
  },
  async open(volume) {
    return rawDisk(volume)
  },
})

/** The volume, read-only: parts that it lacks stay out, and the guard above completes them. */
const rawDisk = (volume: Volume): FormatDisk => ({
  sizeBytes: volume.sizeBytes,
  dependsOn: [],
  read: (into, at, offset, length, signal) => volume.read(into, at, offset, length, signal),
  close: () => volume.close(),
  ...(volume.readSync && {
    readSync: (into, at, offset, length) => volume.readSync?.(into, at, offset, length) ?? false,
  }),
  ...(volume.extents && {
    extents: async (offset, length, max) =>
      (await volume.extents?.(offset, length, max)) ?? [{ offset, length, kind: "data" }],
  }),
  ...(volume.identity && { identity: async () => (await volume.identity?.()) ?? {} }),
})
