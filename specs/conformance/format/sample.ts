/** What the suite of disk formats is given: a format, and files that are images of it. */
import type { DiskFormat } from "../../../core/storage/format.ts"
import type { Say } from "../support/suite.ts"

/** Files by relative name; the first is the image. */
export type Files = Readonly<Record<string, Uint8Array>>

export interface FormatSample {
  readonly name: string
  readonly files: Files
  /** The disk as the guest reads it, whole. */
  readonly guest: Uint8Array
}

export interface DamagedSample {
  readonly name: string
  readonly files: Files
}

export interface FormatSubject {
  readonly format: DiskFormat
  /** At least one. */
  readonly samples: ReadonlyArray<FormatSample>
  /** Files that must be refused when they are opened. */
  readonly damaged?: ReadonlyArray<DamagedSample>
  /** Contents that the probe must not claim as its own, by `magic`. */
  readonly others?: ReadonlyArray<{ readonly name: string; readonly bytes: Uint8Array }>
  readonly seed?: number
  readonly say?: Say
}
