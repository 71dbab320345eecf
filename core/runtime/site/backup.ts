/** What can be asked about backups. */
import type { Op } from "./operation.ts"

/** What became of one image file in a backup; for a dry run, what would. */
export interface BackupImage {
  readonly image: string
  readonly version: number
  /** Where it is read from. */
  readonly path: string
  readonly sizeBytes: number
  /** `cloned`: the copy shares its blocks with the original. `linked`: it is the same file. `kept`: the backup has it already. */
  readonly done: "copied" | "cloned" | "linked" | "kept"
}

export interface BackupAnswer {
  readonly dir: string
  readonly position: number
  /** Of the events up to there, base64; null for a dry run. */
  readonly root: string | null
  readonly dryRun: boolean
  readonly events: { readonly copied: number; readonly total: number }
  /** For a dry run, image files only. */
  readonly files: {
    readonly copied: number
    readonly kept: number
    readonly copiedBytes: number
    readonly bytes: number
  }
  readonly images: ReadonlyArray<BackupImage>
  readonly secrets: boolean
  /** What is not in it, in words. */
  readonly leftOut: ReadonlyArray<string>
}

export interface BackupOperations {
  /** Makes a backup, or brings the one that is there up to now, as a job. `dir` is absolute. A dry run answers what it would copy. */
  backup: Op<{ readonly dir: string; readonly images?: boolean; readonly secrets?: boolean }, BackupAnswer>
}
