/** What can be asked about two versions of images: where they differ, and in which files. */
import type { FileChange, FileTotals } from "../file-comparison.ts"
import type { VersionNamed } from "./images.ts"
import type { Op } from "./operation.ts"

export interface ImageDiffAnswer {
  readonly image: string
  readonly from: number
  readonly to: number
  readonly sizeBytes: number
  /** Checksums tell by clusters what really differs; they are asked where a version between the two is retired. */
  readonly toldBy: "layers" | "checksums"
  /** What was written, perhaps with the bytes that were there; in order, the first ones only where there are more. `kind` is what it is in `to`. */
  readonly runs: ReadonlyArray<{ readonly offset: number; readonly length: number; readonly kind: "data" | "zero" }>
  /** Of all runs. */
  readonly totals: { readonly runs: number; readonly dataBytes: number; readonly zeroBytes: number }
  /** The disk in parts of `partBytes`, the last one shorter, and how much of each differs. */
  readonly partBytes: number
  readonly parts: ReadonlyArray<number>
  /** Present where it was asked for. */
  readonly files?: FileDiffAnswer
}

/** The files that differ, as far as a tool on the server reads their file systems. */
export interface FileDiffAnswer {
  /** In order of their offsets; those of either version. A disk without a table has one, of number 0. */
  readonly partitions: ReadonlyArray<PartitionDiff>
  /** By partition and path; the first ones only where there are more. */
  readonly rows: ReadonlyArray<FileChange & { readonly partition: number }>
  /** Of all partitions that were compared. */
  readonly totals: FileTotals
}

export interface PartitionDiff {
  readonly number: number
  readonly offset: number
  readonly sizeBytes: number
  /** In which of the two versions it is. */
  readonly in: "both" | "from" | "to"
  /** Null where it is not. */
  readonly fileSystem: { readonly from: string | null; readonly to: string | null }
  /** `same`: nothing was written to it. `unread`: it differs, and its files are not known. */
  readonly outcome: "same" | "compared" | "unread"
  /** Why it is unread. */
  readonly why: string | null
  readonly changedBytes: number
  readonly totals: FileTotals
}

export interface ImageDiffOperations {
  /** Reads tables and checksums, and no data unless files are asked for. At most `runsMax` runs are listed. */
  "image.diff": Op<
    {
      readonly from: VersionNamed
      readonly to: VersionNamed
      readonly runsMax?: number
      /** Lists changed files, at most so many: what changed is copied for that. */
      readonly filesMax?: number
    },
    ImageDiffAnswer
  >
}
