/** Checks with files that lie: refused or answered, never a crash, a hang, or an error that nobody knows. */
import assert from "node:assert/strict"
import { isImagelinkError } from "../../../core/errors.ts"
import { randomFrom } from "../support/bytes.ts"
import { guarded, readRange } from "../support/volumes.ts"
import type { Files, FormatSubject } from "./sample.ts"
import { type FormatCheck, imageOf, openDisk } from "./subject.ts"

const FLIPS = 200
/** Headers and tables are at the front; that is where a flip means most. */
const FLIPPED_BYTES = 1024
const READ_BYTES_MAX = 65_536

export const robustnessChecks: ReadonlyArray<FormatCheck> = [
  {
    name: "refuses each damaged sample with an error of the closed list",
    skip: ({ damaged }) => (damaged === undefined ? "the subject has no damaged samples" : undefined),
    async run(subject) {
      for (const { name, files } of subject.damaged ?? []) {
        const error = await openDisk(subject, files).then(
          () => assert.fail(`${name}: was opened`),
          (thrown: unknown) => thrown,
        )
        if (error instanceof assert.AssertionError) throw error
        assert.ok(isImagelinkError(error), `${name}: threw ${String(error)}`)
      }
    },
  },
  {
    name: "refuses or answers when its image is cut short anywhere",
    async run(subject) {
      for (const { name, files } of subject.samples) {
        const image = imageOf(files)
        for (const length of [1, 4, 8, 31, 72, 104, 511, 512, 513, 4096, 65_536, image.length >> 1, image.length - 1])
          if (length > 0 && length < image.length)
            await refusesOrAnswers(subject, replaced(files, image.slice(0, length)), `${name}, cut to ${length} bytes`)
      }
    },
  },
  {
    name: `refuses or answers when bytes of its image are flipped, ${FLIPS} times`,
    async run(subject) {
      const seed = subject.seed ?? 1
      const random = randomFrom(seed)
      for (const { name, files } of subject.samples)
        for (let i = 0; i < FLIPS; i++) {
          const image = imageOf(files).slice()
          const at = Math.floor(random() * Math.min(FLIPPED_BYTES, image.length))
          image[at] = Math.floor(random() * 256)
          await refusesOrAnswers(subject, replaced(files, image), `${name}, seed ${seed}, byte ${at} = ${image[at]}`)
        }
    },
  },
]

const replaced = (files: Files, image: Uint8Array): Files => ({ ...files, [Object.keys(files)[0]!]: image })

const refusesOrAnswers = async (subject: FormatSubject, files: Files, what: string): Promise<void> => {
  try {
    const { disk, traffic } = await openDisk(subject, files)
    const guard = guarded(disk, subject.format.format)
    try {
      const length = Math.min(READ_BYTES_MAX, guard.sizeBytes)
      if (length > 0) await readRange(guard, 0, length)
      if (length > 0) await readRange(guard, guard.sizeBytes - length, length)
    } finally {
      await guard.close()
    }
    assert.equal(traffic.written, 0, `${what}: writes`)
  } catch (thrown) {
    if (thrown instanceof assert.AssertionError) throw thrown
    assert.ok(isImagelinkError(thrown), `${what}: threw ${String(thrown)}`)
    assert.notEqual(thrown.code, "PLUGIN_BROKE_CONTRACT", `${what}: ${thrown.reason}`)
  }
}
