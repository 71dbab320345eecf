/**
 * The conformance suites on an installed plugin and bytes that somebody has, rather than on samples made for the occasion.
 *
 * **Details** What the plugin must serve is what it served first, unless a file says what that is. Of a long volume the last bytes are looked at
 * alone, because that is where offsets are largest. Nothing is written but into a folder that is named for it, each check in one of its own.
 */

import { fail } from "../../../core/errors.ts"
import type { Host } from "../../../core/host.ts"
import type { DiskFormat } from "../../../core/storage/format.ts"
import { openConfigured, validateConfig } from "../../../core/storage/open-volume.ts"
import type { StoragePlugin } from "../../../core/storage/plugin.ts"
import type { Volume } from "../../../core/storage/volume.ts"
import { type Files, formatPluginSuite } from "../format-plugin.ts"
import { SAMPLE_BYTES_MIN } from "../storage/subject.ts"
import { storagePluginSuite } from "../storage-plugin.ts"
import { type CheckResult, collect } from "./collect.ts"
import { fileFaults } from "./file-faults.ts"
import { readRange } from "./volumes.ts"

const LOOKED_AT_BYTES_MAX = 1_048_576
const ALIGNED = 65_536

export interface InstalledStorage {
  readonly plugin: StoragePlugin
  readonly config: unknown
  /** What the config's bytes really are. */
  readonly bytes?: Uint8Array
  /** The config of a folder in which anything may be written. */
  readonly folder?: unknown
  /** The file that holds these bytes, if it is one and fits in memory. */
  readonly file?: string
  /** Where another process finds the plugin, and all of the bytes are looked at. */
  readonly module?: string
  readonly host: Host
  readonly secondsMax: number
}

/** @throws whatever opening the config throws */
export const checkStorage = async (given: InstalledStorage): Promise<ReadonlyArray<CheckResult>> => {
  const { plugin, config, host } = given
  const context = { host, signal: new AbortController().signal }
  const first = await openConfigured(plugin, await validateConfig(plugin, config), context)
  const { sizeBytes } = first
  const from = sizeBytes > LOOKED_AT_BYTES_MAX ? lookedAtFrom(sizeBytes) : 0
  try {
    if (sizeBytes < SAMPLE_BYTES_MIN) throw tooShort(plugin.kind, sizeBytes)
    const bytes = given.bytes?.subarray(from) ?? (await readRange(first, from, sizeBytes - from))
    return await collectOn(given, bytes, from)
  } finally {
    await first.close()
  }
}

const tooShort = (kind: string, sizeBytes: number) =>
  fail("PLUGIN_CONFIG_INVALID", {
    kind,
    why: `it names ${sizeBytes} bytes, and the checks need at least ${SAMPLE_BYTES_MIN}`,
  })

const collectOn = async (
  { plugin, config, folder, file, module, host, secondsMax }: InstalledStorage,
  bytes: Uint8Array,
  from: number,
): Promise<ReadonlyArray<CheckResult>> => {
  const writable = folder === undefined ? undefined : await validateConfig(plugin, folder)
  const context = { host, signal: new AbortController().signal }
  // The file itself stays as it is: only what this process reads of it goes wrong.
  const { shrink: _, ...faults } = file === undefined ? {} : await fileFaults(file, bytes)
  const name = folderNames()
  const subject = {
    plugin: {
      ...plugin,
      open: async (...asked: Parameters<StoragePlugin["open"]>) => tail(await plugin.open(...asked), from),
      ...(plugin.folder && {
        folder: (...asked: Parameters<NonNullable<StoragePlugin["folder"]>>) =>
          plugin.folder!(...asked).folder(name.current()),
      }),
    },
    sample: async () => ({ config: structuredClone(config), bytes, faults }),
    ...(module !== undefined && from === 0 && { module }),
    ...(folder !== undefined && {
      folder: async () => ({
        config: structuredClone(folder),
        release: () => plugin.folder!(writable, context).remove(name.next()),
      }),
    }),
    untouchable: "nothing is written to bytes that are somebody's",
    host,
  }
  return collect((runner, say) => storagePluginSuite(runner, { ...subject, say }), { secondsMax })
}

const lookedAtFrom = (sizeBytes: number): number => {
  const from = sizeBytes - LOOKED_AT_BYTES_MAX
  return from - (from % ALIGNED)
}

/** One folder for each check. `next` answers the one that is done with. */
const folderNames = () => {
  let count = 0
  const current = () => `imagelink-check-${count}`
  const next = () => {
    const done = current()
    count += 1
    return done
  }
  return { current, next }
}

/** A volume without what is before `from`. */
const tail = (volume: Volume, from: number): Volume => {
  if (from === 0) return volume
  const { readSync, extents, identity } = volume
  return {
    sizeBytes: volume.sizeBytes - from,
    read: (into, at, offset, length, signal) => volume.read(into, at, from + offset, length, signal),
    close: () => volume.close(),
    ...(readSync && {
      readSync: (into, at, offset, length) => readSync.call(volume, into, at, from + offset, length),
    }),
    ...(extents && {
      extents: async (offset, length, max) =>
        (await extents.call(volume, from + offset, length, max)).map((one) => ({ ...one, offset: one.offset - from })),
    }),
    ...(identity && { identity: () => identity.call(volume) }),
  }
}

export interface InstalledFormat {
  readonly format: DiskFormat
  /** The image first, then those that it names. */
  readonly files: Files
  /** The disk as the guest reads it. */
  readonly guest: Uint8Array
  readonly secondsMax: number
}

export const checkFormat = ({
  format,
  files,
  guest,
  secondsMax,
}: InstalledFormat): Promise<ReadonlyArray<CheckResult>> =>
  collect(
    (runner, say) =>
      formatPluginSuite(runner, { format, samples: [{ name: Object.keys(files)[0]!, files, guest }], say }),
    { secondsMax },
  )
