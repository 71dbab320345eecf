/**
 * Finds out by content which format a volume is in; its name is never looked at.
 *
 * **Details** Every format sees the same first and last bytes. `magic` beats `foreign` beats `fallback`: a format that knows the
 * content takes it, something known to be no disk is refused by name, and only what nobody knows is served as raw.
 *
 * **Gotchas** Probe when an image is added, never again: the log records the format. A raw disk whose guest writes a qcow2 header into
 * its first sector would otherwise be opened as qcow2 at the next start, with a backing file of the guest's choice.
 */
import { fail, type ImagelinkError } from "../errors.ts"
import { limits } from "../limits.ts"
import type { DiskFormat, ProbeInput } from "./format.ts"
import type { Volume } from "./volume.ts"

/** Reads both ends of a volume and picks its format. @throws IMAGE_FORMAT_UNSUPPORTED IMAGE_NOT_A_DISK PLUGIN_BROKE_CONTRACT */
export const probeFormat = async (
  formats: ReadonlyArray<DiskFormat>,
  volume: Volume,
  path: string,
  signal?: AbortSignal,
): Promise<DiskFormat> => pickFormat(formats, await readEnds(volume, signal), path)

/** The pure half of probeFormat. */
export const pickFormat = (formats: ReadonlyArray<DiskFormat>, input: ProbeInput, path: string): DiskFormat => {
  let fallback: DiskFormat | undefined
  let magic: DiskFormat | undefined
  let foreign: string | undefined
  for (const format of formats) {
    const result = ask(format, input)
    if (result.match === "magic") {
      if (magic !== undefined) throw contradiction(path, magic, format)
      magic = format
    } else if (result.match === "foreign") foreign ??= result.what
    else if (result.match === "fallback") fallback ??= format
    else if (result.match !== "no") throw broke(format, `probe answered ${JSON.stringify(result)}`)
  }
  if (magic !== undefined) return magic
  if (foreign !== undefined) throw fail("IMAGE_FORMAT_UNSUPPORTED", { path, format: foreign })
  if (fallback !== undefined) return fallback
  throw fail("IMAGE_NOT_A_DISK", { path, why: `none of the installed formats (${names(formats)}) knows its content` })
}

/** One has its mark at the beginning and the other at the end. Whoever made the file may have meant either, or harm. */
const contradiction = (path: string, one: DiskFormat, other: DiskFormat): ImagelinkError =>
  fail("IMAGE_NOT_A_DISK", { path, why: `its content claims to be both ${one.format} and ${other.format}` })

const names = (formats: ReadonlyArray<DiskFormat>) => formats.map((f) => f.format).join(", ") || "none"

const broke = (format: DiskFormat, why: string, underlying?: unknown): ImagelinkError =>
  fail("PLUGIN_BROKE_CONTRACT", { kind: format.format, why }, { underlying })

/** A probe is pure and total: throwing, or answering nothing, is a broken plugin and not a property of the image. */
const ask = (format: DiskFormat, input: ProbeInput) => {
  try {
    return format.probe(input) ?? { match: undefined as never }
  } catch (thrown) {
    throw broke(format, `probe threw: ${thrown instanceof Error ? thrown.message : typeof thrown}`, thrown)
  }
}

const readEnds = async (volume: Volume, signal?: AbortSignal): Promise<ProbeInput> => {
  const { sizeBytes } = volume
  const head = new Uint8Array(Math.min(limits.formatProbeBytes, sizeBytes))
  const tail = new Uint8Array(Math.min(limits.formatProbeTailBytes, sizeBytes))
  if (head.length > 0) await volume.read(head, 0, 0, head.length, signal)
  if (tail.length > 0) await volume.read(tail, 0, sizeBytes - tail.length, tail.length, signal)
  return { head, tail, sizeBytes }
}
