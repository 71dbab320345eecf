/**
 * The public door `imagelink/plugin`: everything that a storage plugin or a disk format needs, and nothing else.
 *
 * **Details** What is exported here is API: it changes only with `apiVersion`. A plugin imports this one name.
 */
export type { Extent, ExtentKind } from "../block/device.ts"
export { crc32c } from "../bytes.ts"
export { type ErrorCode, fail, type ImagelinkError, isImagelinkError } from "../errors.ts"
export type { Host } from "../host.ts"
export { limits } from "../limits.ts"
export { readAtOnce } from "./at-once.ts"
export {
  type DiskFormat,
  defineFormat,
  type FlatInput,
  type FlatLayer,
  type FormatContext,
  type FormatDisk,
  type LayerTables,
  type ProbeInput,
  type ProbeResult,
  type SealInput,
} from "./format.ts"
export {
  closeVolumes,
  type DiskLayer,
  type DiskMap,
  layerBelow,
  layeredDisk,
  mappedDisk,
  type Run,
} from "./mapped-disk.ts"
export { openParentFile, parentNames } from "./parent-file.ts"
export { definePlugin, type OpenContext, type PluginManifest, type StoragePlugin } from "./plugin.ts"
export type { StandardIssue, StandardResult, StandardSchemaV1 } from "./schema.ts"
export {
  boolean,
  check,
  type Infer,
  integer,
  literal,
  type OptionalSchema,
  object,
  optional,
  type Schema,
  string,
} from "./schema-builder.ts"
export { bitRun, type Lookup, lookUp, TableBudget, TablePages } from "./table-pages.ts"
export type { Volume, VolumeFolder, VolumeIdentity, WritableVolume } from "./volume.ts"
