/** Opens a format over files held in memory, and counts what it opens and closes. */
import { fail } from "../../../core/errors.ts"
import { limits } from "../../../core/limits.ts"
import type { FormatDisk, ProbeInput } from "../../../core/storage/format.ts"
import { siblingFault } from "../../../core/storage/open-image.ts"
import type { Volume } from "../../../core/storage/volume.ts"
import type { Files, FormatSubject } from "../format-plugin.ts"
import type { Check } from "../support/suite.ts"
import { guarded } from "../support/volumes.ts"

export type FormatCheck = Check<FormatSubject>

/** What a probe sees of a file. */
export const ends = (bytes: Uint8Array): ProbeInput => ({
  head: bytes.slice(0, limits.formatProbeBytes),
  tail: bytes.slice(Math.max(0, bytes.length - limits.formatProbeTailBytes)),
  sizeBytes: bytes.length,
})

export const imageOf = (files: Files): Uint8Array => Object.values(files)[0]!

export interface Traffic {
  readonly opened: Array<string>
  readonly closed: Array<string>
  written: number
}

const memory = (bytes: Uint8Array, name: string, traffic: Traffic): Volume => ({
  sizeBytes: bytes.length,
  read: async (into, at, offset, length) => into.set(bytes.subarray(offset, offset + length), at),
  write: async () => {
    traffic.written += 1
  },
  flush: async () => {},
  close: async () => {
    traffic.closed.push(name)
  },
})

/** Opens the first file through the format; siblings are looked up among the others. */
export const openDisk = async (
  { format }: FormatSubject,
  files: Files,
): Promise<{ readonly disk: FormatDisk; readonly traffic: Traffic }> => {
  const traffic: Traffic = { opened: [], closed: [], written: 0 }
  const open = (name: string) => {
    const bytes = Object.hasOwn(files, name) ? files[name] : undefined
    if (bytes === undefined) throw fail("IMAGE_FILE_NOT_FOUND", { path: name })
    traffic.opened.push(name)
    return guarded(memory(bytes, name, traffic), format.format)
  }
  const image = Object.keys(files)[0]!
  const disk = await format.open(open(image), {
    signal: new AbortController().signal,
    limits,
    async sibling(relative) {
      const why = siblingFault(relative) ?? (traffic.opened.length > limits.formatSiblingsMax ? "too many" : undefined)
      if (why !== undefined) throw fail("IMAGE_DEPENDENCY_REFUSED", { path: image, needs: relative, why })
      return open(relative)
    },
  })
  return { disk, traffic }
}
