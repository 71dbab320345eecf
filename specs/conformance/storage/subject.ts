/** Opens and releases a subject's samples, so that a check is only about what it checks. */
import assert from "node:assert/strict"
import type { Host } from "../../../core/host.ts"
import type { OpenContext } from "../../../core/storage/plugin.ts"
import type { StandardResult } from "../../../core/storage/schema.ts"
import type { Volume } from "../../../core/storage/volume.ts"
import { fileFaults, type SampleFaults } from "../support/file-faults.ts"
import type { Check } from "../support/suite.ts"
import type { StoragePluginSubject } from "./sample.ts"

export type StorageCheck = Check<StoragePluginSubject>

export const SAMPLE_BYTES_MIN = 135_168
const NO_HOST: Host = {}

export const seedOf = (subject: StoragePluginSubject): number => subject.seed ?? 1

export const context = (
  subject: StoragePluginSubject,
  signal: AbortSignal = new AbortController().signal,
): OpenContext => ({
  signal,
  host: subject.host ?? NO_HOST,
})

/** What the plugin's schema says to a config. */
export const judged = async ({ plugin }: StoragePluginSubject, config: unknown): Promise<StandardResult<unknown>> =>
  plugin.config === undefined ? { value: config } : plugin.config["~standard"].validate(config)

export const accepted = async (subject: StoragePluginSubject, config: unknown): Promise<unknown> => {
  const result = await judged(subject, config)
  if (result.issues !== undefined)
    assert.fail(`the schema refuses ${JSON.stringify(config)}: ${JSON.stringify(result.issues)}`)
  return result.value
}

export interface Opened {
  readonly volume: Volume
  readonly bytes: Uint8Array
  /** Opens the same sample once more. It is closed with the first. */
  again(): Promise<Volume>
  /** What can be made to go wrong beneath it. */
  readonly faults: SampleFaults
  /** Says that a volume was closed by the check itself. */
  closed(volume: Volume): void
}

/** Opens a new sample, runs `body`, closes what is open and releases the sample, whatever happened. */
export const withSample = async <A>(
  subject: StoragePluginSubject,
  body: (opened: Opened) => Promise<A>,
): Promise<A> => {
  const sample = await subject.sample()
  const open = new Set<Volume>()
  try {
    assert.ok(sample.bytes.length >= SAMPLE_BYTES_MIN, `a sample has at least ${SAMPLE_BYTES_MIN} bytes`)
    const config = await accepted(subject, sample.config)
    const again = async () => {
      const volume = await subject.plugin.open(config, context(subject))
      open.add(volume)
      return volume
    }
    const { bytes, file, faults = file === undefined ? {} : await fileFaults(file, bytes) } = sample
    return await body({ volume: await again(), bytes, faults, again, closed: (volume) => open.delete(volume) })
  } finally {
    for (const volume of open) await volume.close()
    await sample.release?.()
  }
}
