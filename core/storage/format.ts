/**
 * The contract of a disk format: how a guest's bytes are laid out in a volume.
 *
 * **Details** `probe` sees the first 4 KiB, the last 512 bytes and the size, and decides by content, never by name. `open` answers the guest's disk as a
 * volume of its own; every other file it needs comes through `sibling`, which core jails and bounds. `seal` writes a new layer.
 */
import type { limits } from "../limits.ts"
import type { Volume } from "./volume.ts"

/** How sure a probe is. `magic` beats `fallback`; two `magic`s are a programmer's mistake. */
export type ProbeResult =
  | { readonly match: "magic" | "fallback" }
  | { readonly match: "no" }
  /** It is recognised, and cannot be served: an archive, a format without a plugin. `what` names it for the refusal. */
  | { readonly match: "foreign"; readonly what: string }

export interface ProbeInput {
  /** The first bytes of the volume: 4 KiB, or all of a shorter one. */
  readonly head: Uint8Array
  /** The last bytes of the volume: 512, or all of a shorter one. A fixed VHD has its only mark there. */
  readonly tail: Uint8Array
  readonly sizeBytes: number
}

export interface FormatContext {
  readonly signal: AbortSignal
  readonly limits: typeof limits
  /** Opens a file named relative to this one. @throws IMAGE_FILE_NOT_FOUND IMAGE_ACCESS_DENIED, or IMAGE_DEPENDENCY_REFUSED outside the image's folder */
  sibling(relative: string): Promise<Volume>
}

/** A guest's disk. `close` closes the volume it was opened over. */
export interface FormatDisk extends Volume {
  /** Relative names of the other files it depends on, in order of opening. */
  readonly dependsOn: ReadonlyArray<string>
}

/** What a layer is sealed from; used by formats that can write one. */
export interface SealInput {
  readonly sizeBytes: number
  readonly grainBytes: number
  /** Grain states in order: runs of data, zero and absent. */
  extents(): Iterable<{ readonly offset: number; readonly length: number; readonly kind: "data" | "zero" | "absent" }>
  readonly dataFile: string
  readonly parent: { readonly path: string; readonly format: string }
}

export interface DiskFormat {
  readonly apiVersion: 1
  /** `raw`, `qcow2`, `vhd` …, as the log records it. */
  readonly format: string
  probe(input: ProbeInput): ProbeResult
  open(volume: Volume, context: FormatContext): Promise<FormatDisk>
  seal?(input: SealInput, into: { write(bytes: Uint8Array, offset: number): Promise<void> }): Promise<void>
}

export const defineFormat = (format: DiskFormat): DiskFormat => format
