/**
 * The conformance suite of storage plugins: every promise of the contract and of the plugin's own manifest, as named checks.
 *
 *     import { describe, it } from "node:test"
 *     import { sampleBytes, storagePluginSuite } from "imagelink/conformance/storage-plugin"
 *
 *     storagePluginSuite({ describe, it }, {
 *       plugin,
 *       async sample() { … put sampleBytes(200_000) somewhere new … return { config, bytes, release } },
 *     })
 *
 * **Details** Checks look at the bare plugin, except where it is the guard's work to refuse or to wait; those go through the real guard. What
 * the manifest does not promise is skipped, and the output says so. The suite needs nothing but `node:assert` and an injected runner.
 *
 * Faults are put in beneath the plugin, where the sample says how: a file beneath is enough.
 *
 * **Gotchas** It cannot see a flush that lies about power loss.
 */
import { describingChecks } from "./storage/describing.ts"
import { faultChecks } from "./storage/faults.ts"
import { folderChecks } from "./storage/folder.ts"
import { openingChecks } from "./storage/opening.ts"
import { readingChecks } from "./storage/reading.ts"
import type { StoragePluginSubject } from "./storage/sample.ts"
import { surroundingChecks } from "./storage/surroundings.ts"
import { writingChecks } from "./storage/writing.ts"
import { type Runner, register } from "./support/suite.ts"

export type { Sample, StoragePluginSubject } from "./storage/sample.ts"
export { sampleBytes } from "./support/bytes.ts"
export type { Fault, SampleFaults } from "./support/file-faults.ts"
export type { Runner, Say } from "./support/suite.ts"

/** Registers the suite with a test runner. */
export const storagePluginSuite = (runner: Runner, subject: StoragePluginSubject): void =>
  register(
    runner,
    `storage plugin ${subject.plugin.kind}`,
    [
      ...openingChecks,
      ...readingChecks,
      ...describingChecks,
      ...writingChecks,
      ...folderChecks,
      ...faultChecks,
      ...surroundingChecks,
    ],
    subject,
    subject.say,
  )
