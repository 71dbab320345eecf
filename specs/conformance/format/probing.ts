/** Checks of a format's shape and its probe: pure, total, by content. */
import assert from "node:assert/strict"
import { checkPlugin } from "../../../core/storage/registry.ts"
import { sampleBytes } from "../support/bytes.ts"
import { ends, type FormatCheck, imageOf } from "./subject.ts"

export const probingChecks: ReadonlyArray<FormatCheck> = [
  {
    name: "is a plain value of apiVersion 1 with a name, a probe and an open",
    async run({ format }) {
      assert.equal(checkPlugin(format, "the format").is, "format")
    },
  },
  {
    name: "claims each of its samples",
    async run({ format, samples }) {
      assert.ok(samples.length > 0, "the subject has no samples")
      for (const { name, files } of samples) {
        const { match } = format.probe(ends(imageOf(files)))
        assert.ok(match === "magic" || match === "fallback", `${name}: the probe says ${match}`)
      }
    },
  },
  {
    name: "claims nothing that belongs to others",
    skip: ({ others }) => (others === undefined ? "the subject names nothing of others" : undefined),
    async run({ format, others = [] }) {
      for (const { name, bytes } of others) {
        const { match } = format.probe(ends(bytes))
        assert.ok(match === "no" || match === "foreign", `${name}: the probe says ${match}`)
      }
    },
  },
  {
    name: "answers a probe of anything, of any length, and says what it is if it is foreign",
    async run({ format, samples }) {
      const image = imageOf(samples[0]!.files)
      const contents = [0, 1, 3, 4, 8, 511, 512, 513, 4095, 4096, 4097].flatMap((length) => [
        new Uint8Array(length),
        new Uint8Array(length).fill(0xff),
        sampleBytes(length),
        image.slice(0, length),
      ])
      for (const bytes of contents) {
        const result = format.probe(ends(bytes))
        assert.ok(["magic", "fallback", "no", "foreign"].includes(result?.match), `answered ${JSON.stringify(result)}`)
        if (result.match === "foreign") assert.ok(result.what.length > 0, "foreign, but not what")
      }
    },
  },
  {
    name: "does not change the bytes it probes, and answers the same twice",
    async run({ format, samples }) {
      for (const { name, files } of samples) {
        const input = ends(imageOf(files))
        const before = structuredClone(input)
        assert.deepEqual(format.probe(input), format.probe(input), name)
        assert.deepEqual(input, before, name)
      }
    },
  },
]
