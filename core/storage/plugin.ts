/**
 * The contract of a storage plugin: where bytes are.
 *
 * A plugin is a plain value, the default export of an ES module. It imports only the public door, `imagelink/plugin`.
 *
 *     export default definePlugin({
 *       apiVersion: 1, kind: "shelf",
 *       manifest: { persistent: true, writable: false, sparse: false, shared: true, local: true },
 *       config: object({ path: string() }),
 *       async open({ path }, { signal, host }) { … return volume },
 *     })
 *
 * **Details** `open` is called once per opening and may be called again while an earlier volume is open. `signal` ends an
 * opening that nobody waits for. Everything that is asked has a deadline (core/storage/guard.ts). The conformance suite
 * `imagelink/conformance/storage-plugin` checks every promise the manifest makes.
 */
import type { Host } from "../host.ts"
import type { StandardSchemaV1 } from "./schema.ts"
import type { Volume, VolumeFolder } from "./volume.ts"

/** What a plugin promises; declared here and checked by the conformance suite. */
export interface PluginManifest {
  /** Bytes outlive the process. */
  readonly persistent: boolean
  /** It can hold what is written: `folder` is there, or the volumes that `open` answers have `write` and `flush`. */
  readonly writable: boolean
  /** `extents` tells holes from data. */
  readonly sparse: boolean
  /** Two openings of one config see the same bytes. */
  readonly shared: boolean
  /** Bytes are on this machine: a read does not cross a network. */
  readonly local: boolean
}

export interface OpenContext {
  readonly signal: AbortSignal
  readonly host: Host
}

export interface StoragePlugin<Config = unknown> {
  readonly apiVersion: 1
  /** The name under which links find it: `file`, `ramdisk`, `remote`. Lower case, digits, hyphens. */
  readonly kind: string
  readonly manifest: PluginManifest
  /** Beginnings of addresses (`https`, `s3`) that an operator may give in place of a path; the config is then `{ url }`. */
  readonly schemes?: ReadonlyArray<string>
  /** Any Standard Schema (zod, valibot, arktype, Effect Schema, or the door's own small builder). Without one, the config is passed as it is. */
  readonly config?: StandardSchemaV1<unknown, Config>
  open(config: Config, context: OpenContext): Promise<Volume>
  /** The config of a file named relative to this one, for formats that span several (a backing file, an extent). Core has checked the name. */
  sibling?(config: Config, relative: string): Config
  /**
   * What `sibling` would take for the file of this absolute name, every symlink on the way to it resolved; undefined when it is not in this
   * one's folder, or below. A name of which nothing is there answers what it would be.
   */
  relative?(config: Config, absolute: string): Promise<string | undefined>
  /** A folder of writable volumes, for overlays. Present only with `writable`. */
  folder?(config: Config, context: OpenContext): VolumeFolder
}

/** Where a version's bytes are, as the log records it. */
export interface StorageLocation {
  readonly kind: string
  readonly config: Readonly<Record<string, unknown>>
}

/** Fixes the type of a plugin without changing it. */
export const definePlugin = <Config>(plugin: StoragePlugin<Config>): StoragePlugin<Config> => plugin
