/** What can be asked about images and their versions. */
import type { ErrorJson } from "../../errors.ts"
import type { ImageRow } from "../../projections/image-versions.ts"
import type { LinkRow } from "../../projections/link-table.ts"
import type { StorageLocation } from "../../storage/plugin.ts"
import type { AsOf, Changed, Moment, Nothing, Op } from "./operation.ts"

export interface ImageAddedAnswer extends Changed {
  /** The first check's outcome; null when it was left for later. */
  readonly check: CheckAnswer | null
  /** What an operator should know and may ignore. */
  readonly notes: ReadonlyArray<string>
}

export interface CheckAnswer {
  readonly image: string
  readonly version: number
  readonly result: "verified" | "mismatch"
  readonly clusters: number
  readonly mismatches: number
  /** CRC_MISMATCH of the first bad cluster. */
  readonly firstMismatch: ErrorJson | null
  /** Where the listed ones are; more may be counted than are listed. */
  readonly damage: ReadonlyArray<DamagedRange>
}

export interface DamagedRange {
  /** Of the guest's disk, in bytes and in blocks of 512, the first and the last. */
  readonly offset: number
  readonly length: number
  readonly lba: readonly [number, number]
  /** What the bytes are read from. */
  readonly file: string
  /** Where the newest backup that has that file keeps it. */
  readonly backup: { readonly path: string; readonly madeAt: number } | null
}

export interface ImageShown extends AsOf {
  readonly image: ImageRow
  /** The links that use each version, by its number. */
  readonly users: ReadonlyArray<{ readonly version: number; readonly links: ReadonlyArray<LinkRow> }>
}

/** A version of an image, by name; without a number the current one. */
export interface VersionNamed {
  readonly name: string
  readonly version?: number
}

export interface ImageOperations {
  "image.add": Op<
    {
      readonly name: string
      /** A local file, or an address that a storage plugin takes; or `storage`, for any other. */
      readonly path?: string
      readonly storage?: StorageLocation
      readonly note?: string
      readonly check: boolean
    },
    ImageAddedAnswer
  >
  "image.check": Op<{ readonly name: string; readonly version?: number }, CheckAnswer>
  "image.list": Op<Nothing, ReadonlyArray<ImageRow>>
  "image.relocate": Op<
    {
      readonly name: string
      readonly version?: number
      /** A local file; or `storage`, for any other storage plugin. */
      readonly path?: string
      readonly storage?: StorageLocation
    },
    Changed
  >
  "image.remove": Op<{ readonly name: string }, Changed>
  "image.create": Op<{ readonly name: string; readonly sizeBytes: number; readonly note?: string }, Changed>
  "image.seal": Op<{ readonly name: string }, Changed>
  /** `whenOff` waits until the super client has no session, `fence` ends those it has. */
  "image.commit": Op<
    { readonly name: string; readonly note?: string; readonly whenOff?: boolean; readonly fence?: boolean },
    Changed
  >
  /** The layers of a version, merged into one file; `whole`: together with what they lie on. */
  "image.flatten": Op<{ readonly name: string; readonly version?: number; readonly whole?: boolean }, Changed>
  "image.retire": Op<{ readonly name: string; readonly version: number }, Changed>
  /** Without `to`, the version that the current one was made on. */
  "image.rollback": Op<{ readonly name: string; readonly to?: number; readonly note?: string }, Changed>
  "image.show": Op<Moment & { readonly name: string }, ImageShown>
}
