/** What can be asked about where images are read from: RAM, and what of them is hot. */
import type { HeatRecorded } from "../heat.ts"
import type { Changed, Op } from "./operation.ts"

export interface ImagePlacedAnswer extends Changed {
  /** What is in RAM now; null when nothing is, or when no server runs that could hold it. */
  readonly ram: RamHeld | null
}

/** What is hot in an image. Reads are first reads of a cluster, in each recording that is kept. */
export interface ImageHeatAnswer {
  readonly image: string
  readonly sizeBytes: number
  readonly labels: ReadonlyArray<{
    readonly label: string
    /** All, and those that are kept and counted here. */
    readonly recorded: number
    readonly kept: number
    /** When the newest that is kept ended, UTC milliseconds. */
    readonly lastAt: number | null
    readonly reads: number
    /** The fewest bytes that cover this share of the reads, in per cent. */
    readonly covers: ReadonlyArray<{ readonly share: number; readonly bytes: number }>
  }>
  /** Boots that are being recorded now; they are among those kept as far as they came. */
  readonly booting: number
  /** The disk in parts of `partBytes`, the last one shorter, and how much of each is hot. */
  readonly partBytes: number
  readonly parts: ReadonlyArray<number>
}

export interface RamHeld {
  readonly versions: ReadonlyArray<number>
  /** Memory that the image takes. Clusters of zeros, and what versions share, take none of their own. */
  readonly bytes: number
  /** Clusters that could not be read or are not what was recorded: a read goes to the file, and fails as it did before. */
  readonly left: number
}

export interface ImageTierOperations {
  /** While a server runs, it settles when the image is in RAM, or out of it. */
  "image.place": Op<
    {
      readonly name: string
      readonly tier: "ramdisk" | "file"
      /** Only what boots and named windows read: what covers `share` per cent of those reads. */
      readonly hot?: boolean
      readonly share?: number
    },
    ImagePlacedAnswer
  >
  "image.heat": Op<{ readonly name: string }, ImageHeatAnswer>
  /** Settles when the time is over. While it runs, what any client reads of the image is recorded. */
  "image.record": Op<
    { readonly name: string; readonly label: string; readonly seconds: number },
    HeatRecorded & { readonly image: string }
  >
  /** The heat file, base64. */
  "heat.export": Op<{ readonly name: string }, { readonly image: string; readonly bytes: string }>
  /** Takes recordings from such a file, for what the current version has in their places. */
  "heat.import": Op<
    { readonly name: string; readonly bytes: string },
    { readonly image: string; readonly recordings: number; readonly clusters: number }
  >
}
