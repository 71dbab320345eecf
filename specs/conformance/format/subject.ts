/** Opens a format over files held in memory, and counts what it opens and closes. */
import { fail } from "../../../core/errors.ts"
import { limits } from "../../../core/limits.ts"
import type { FormatContext, FormatDisk, ProbeInput } from "../../../core/storage/format.ts"
import { siblingFault } from "../../../core/storage/open-image.ts"
import type { Volume } from "../../../core/storage/volume.ts"
import type { Check } from "../support/suite.ts"
import { guarded } from "../support/volumes.ts"
import type { Files, FormatSubject } from "./sample.ts"

export type FormatCheck = Check<FormatSubject>

/** What a probe sees of a file. */
export const ends = (bytes: Uint8Array): ProbeInput => ({
  head: new Uint8Array(bytes.subarray(0, limits.formatProbeBytes)),
  tail: new Uint8Array(bytes.subarray(Math.max(0, bytes.length - limits.formatProbeTailBytes))),
  sizeBytes: bytes.length,
})

/** A copy, and no Buffer, whose slices would be views of the sample. */
export const imageOf = (files: Files): Uint8Array => new Uint8Array(Object.values(files)[0]!)

export interface Traffic {
  readonly opened: Array<string>
  readonly closed: Array<string>
  written: number
}

/** What goes wrong with reads of the files; it may change while they are open. */
export interface Trouble {
  error(file: string, offset: number, length: number): Error | undefined
  /** Calls `go` when the answer may come. */
  when(go: () => void): void
}
export const noTrouble: Trouble = { error: () => undefined, when: (go) => go() }

const memory = (bytes: Uint8Array, name: string, traffic: Traffic, trouble: Trouble): Volume => ({
  sizeBytes: bytes.length,
  async read(into, at, offset, length) {
    await new Promise<void>((resolve) => trouble.when(resolve))
    const error = trouble.error(name, offset, length)
    if (error !== undefined) throw error
    into.set(bytes.subarray(offset, offset + length), at)
  },
  write: async () => {
    traffic.written += 1
  },
  flush: async () => {},
  close: async () => {
    traffic.closed.push(name)
  },
})

/** Opens the first file through the format; siblings are looked up among the others, and are raw unless the format claims them. */
export const openDisk = async (
  { format }: FormatSubject,
  files: Files,
  trouble: Trouble = noTrouble,
): Promise<{ readonly disk: FormatDisk; readonly traffic: Traffic }> => {
  const traffic: Traffic = { opened: [], closed: [], written: 0 }
  const image = Object.keys(files)[0]!
  const open = (name: string) => {
    const bytes = Object.hasOwn(files, name) ? files[name] : undefined
    if (bytes === undefined) throw fail("IMAGE_FILE_NOT_FOUND", { path: name })
    traffic.opened.push(name)
    return guarded(memory(bytes, name, traffic, trouble), format.format)
  }
  const sibling = async (relative: string) => {
    const why = siblingFault(relative) ?? (traffic.opened.length > limits.formatSiblingsMax ? "too many" : undefined)
    if (why !== undefined) throw fail("IMAGE_DEPENDENCY_REFUSED", { path: image, needs: relative, why })
    return open(relative)
  }
  const disk = async (relative: string, name?: string): Promise<FormatDisk> => {
    const volume = await sibling(relative)
    const own = name === undefined ? format.probe(ends(files[relative]!)).match === "magic" : name === format.format
    return own ? format.open(volume, context(relative)) : Object.assign(volume, { dependsOn: [] })
  }
  const context = (path: string): FormatContext => ({
    signal: new AbortController().signal,
    limits,
    path,
    sibling,
    disk,
  })
  return { disk: await format.open(open(image), context(image)), traffic }
}
