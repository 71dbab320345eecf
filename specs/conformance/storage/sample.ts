/** What the suite of storage plugins is given: a plugin, and how to make something for it to open. */
import type { ErrorCode } from "../../../core/errors.ts"
import type { Host } from "../../../core/host.ts"
import type { StoragePlugin } from "../../../core/storage/plugin.ts"
import type { SampleFaults } from "../support/file-faults.ts"
import type { Say } from "../support/suite.ts"

/** Something to open, made for one check and released after it. */
export interface Sample {
  /** As an operator writes it, before the plugin's schema has seen it. */
  readonly config: unknown
  /** Everything that is in it: at least 135,168 bytes (128 KiB and 4 KiB), which differ from place to place; `sampleBytes` makes such. */
  readonly bytes: Uint8Array
  /** The file that has these bytes, where it is one: the suite then makes its reads short, late and failing, and cuts it. */
  readonly file?: string
  /** The same for storage of another kind, as far as its stand-in can do it. */
  readonly faults?: SampleFaults
  release?(): Promise<void>
}

export interface StoragePluginSubject {
  readonly plugin: StoragePlugin
  /** A new sample. With `manifest.sparse` it has a hole of at least 64 KiB, aligned to 64 KiB. */
  sample(): Promise<Sample>
  /** Configs that the plugin's schema must refuse, besides `null`, a text and a list. */
  readonly refused?: ReadonlyArray<unknown>
  /** A well-formed config of something that does not exist, and the code it is refused with. */
  readonly missing?: { readonly config: unknown; readonly code: ErrorCode }
  /** The config of a folder that does not exist yet; needed with `plugin.folder`. */
  folder?(): Promise<{ readonly config: unknown; release?(): Promise<void> }>
  /** Why nothing may be written to samples, where they are somebody's bytes. Samples made for the suite leave this out. */
  readonly untouchable?: string
  /** URL or absolute path of the module whose default export the plugin is, so that another process can load it too. */
  readonly module?: string
  readonly host?: Host
  /** Of the random checks; 1 unless given. Failures name it. */
  readonly seed?: number
  /** Where skipped checks are named; standard output unless given. */
  readonly say?: Say
}
