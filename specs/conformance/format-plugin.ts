/**
 * The conformance suite of disk formats: probing by content, the guest's bytes, dependencies, and files that lie.
 *
 *     formatPluginSuite({ describe, it }, {
 *       format,
 *       samples: [{ name: "two grains", files: { "disk.qcow2": bytes }, guest: expectedBytes }],
 *       damaged: [{ name: "an L2 table past the end", files: { "disk.qcow2": broken } }],
 *     })
 *
 * **Details** Files are given as bytes, the image first; other files of a sample are its siblings by relative name. Everything a format opens is
 * guarded as core does it, and counted. Damage is made here too: every sample's image is cut short and has bytes flipped, by seed; and
 * its storage fails, answers late and shrinks.
 *
 * **Gotchas** After a random flip wrong bytes are fine, since no format can know them; what counts is that the format refuses or answers,
 * with an error of the closed list, in bounded time and space.
 */
import { faultChecks } from "./format/faults.ts"
import { guestChecks } from "./format/guest.ts"
import { probingChecks } from "./format/probing.ts"
import { robustnessChecks } from "./format/robustness.ts"
import type { FormatSubject } from "./format/sample.ts"
import { type Runner, register } from "./support/suite.ts"

export type { DamagedSample, Files, FormatSample, FormatSubject } from "./format/sample.ts"
export { sampleBytes } from "./support/bytes.ts"
export type { Runner, Say } from "./support/suite.ts"

/** Registers the suite with a test runner. */
export const formatPluginSuite = (runner: Runner, subject: FormatSubject): void =>
  register(
    runner,
    `format ${subject.format.format}`,
    [...probingChecks, ...guestChecks, ...robustnessChecks, ...faultChecks],
    subject,
    subject.say,
  )
