/**
 * The contract of a disk format: how a guest's bytes are laid out in a volume.
 *
 * **Details** `probe` sees the first 4 KiB, the last 512 bytes and the size, and decides by content, never by name. `open` answers the guest's disk as a
 * volume of its own; every other file it needs comes through `sibling`, or `disk` where that file is an image itself; core jails and bounds both.
 * `seal` writes a new layer.
 */
import type { Extent } from "../block/device.ts"
import type { limits } from "../limits.ts"
import type { Volume } from "./volume.ts"

/** How sure a probe is. `magic` beats `fallback`; content that two formats claim by `magic` is refused. */
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
  /** What an operator calls this file, for messages. */
  readonly path: string
  /** Opens a file named relative to this one. @throws IMAGE_FILE_NOT_FOUND IMAGE_ACCESS_DENIED, or IMAGE_DEPENDENCY_REFUSED outside the image's folder */
  sibling(relative: string): Promise<Volume>
  /**
   * Opens another image named relative to this one as the disk its guest would see: a backing file, a parent. `format` is the name this
   * file gives for it; without one the content decides. Names that the other image gives in turn are relative to that one.
   * @throws what `sibling` throws, IMAGE_FORMAT_UNSUPPORTED, and IMAGE_DEPENDENCY_REFUSED when an image would depend on itself
   */
  disk(relative: string, format?: string): Promise<FormatDisk>
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
  /** Left out for a layer that needs nothing below it. */
  readonly parent?: { readonly path: string; readonly format: string }
}

/** What a layer that has its bytes in its own file is made for. */
export type FlatInput = Pick<SealInput, "sizeBytes" | "grainBytes" | "parent">

/** A layer that is being written with its bytes in it; whoever asked writes those, each at `dataOffset` + its own offset. */
export interface FlatLayer {
  /** Length of the file; most of it is holes. */
  readonly fileBytes: number
  readonly dataOffset: number
  /** What the layer has, in order. */
  add(run: Extent, into: LayerTarget): Promise<void>
  /** Once, after the last run. */
  finish(into: LayerTarget): Promise<void>
}

export interface LayerTarget {
  write(bytes: Uint8Array, offset: number): Promise<void>
}

/** What a sealed layer's own tables say, whatever lies below it. */
export interface LayerTables {
  readonly sizeBytes: number
  /** Name of the file that has its bytes, each at its own offset; relative to the layer's. Undefined: they are in this file. */
  readonly dataFile: string | undefined
  /** Where guest byte 0 would be in the file that has the bytes. */
  readonly dataOffset: number
  /** In order: data and zero where the layer has something, absent (told or left out) where what lies below shows through. @throws MEDIUM_ERROR */
  runs(): AsyncIterable<Extent>
  close(): Promise<void>
}

export interface DiskFormat {
  readonly apiVersion: 1
  /** `raw`, `qcow2`, `vhd` …, as the log records it. */
  readonly format: string
  probe(input: ProbeInput): ProbeResult
  open(volume: Volume, context: FormatContext): Promise<FormatDisk>
  /** Reads back what `seal` or `flat` wrote, and nothing below it. */
  map?(volume: Volume, context: Pick<FormatContext, "signal" | "path">): Promise<LayerTables>
  seal?(input: SealInput, into: LayerTarget): Promise<void>
  /** Begins a layer that has its bytes in its own file. */
  flat?(input: FlatInput): FlatLayer
}

export const defineFormat = (format: DiskFormat): DiskFormat => format
