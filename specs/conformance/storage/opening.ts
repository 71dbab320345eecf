/** Checks of a plugin's shape, its config, and what opening and closing mean. */
import assert from "node:assert/strict"
import { contain } from "../../../core/storage/contain.ts"
import { volumeFault } from "../../../core/storage/judge.ts"
import { checkPlugin } from "../../../core/storage/registry.ts"
import { same } from "../support/bytes.ts"
import { guarded, readRange, refusedWith, settle } from "../support/volumes.ts"
import { accepted, context, judged, type StorageCheck, withSample } from "./subject.ts"

export const openingChecks: ReadonlyArray<StorageCheck> = [
  {
    name: "is a plain value of apiVersion 1 with a complete manifest",
    async run({ plugin }) {
      assert.equal(checkPlugin(plugin, "the plugin").is, "storage")
    },
  },
  {
    name: "refuses configs that make no sense, with a message for each",
    skip: ({ plugin }) => (plugin.config === undefined ? "the plugin has no config schema" : undefined),
    async run(subject) {
      for (const config of [null, "text", [], ...(subject.refused ?? [])]) {
        const { issues } = await judged(subject, config)
        assert.ok(issues !== undefined && issues.length > 0, `the schema accepts ${JSON.stringify(config)}`)
        for (const issue of issues) assert.ok(issue.message.length > 0, "an issue without a message")
      }
    },
  },
  {
    name: "accepts its sample's config twice, without changing it",
    async run(subject) {
      const { config, release } = await subject.sample()
      const before = structuredClone(config)
      assert.deepEqual(await accepted(subject, config), await accepted(subject, config))
      assert.deepEqual(config, before)
      await release?.()
    },
  },
  {
    name: "opens a volume of the right size with all the functions it claims",
    run: (subject) =>
      withSample(subject, async ({ volume, bytes }) => {
        assert.equal(volumeFault(volume), undefined)
        assert.equal(volume.sizeBytes, bytes.length)
      }),
  },
  {
    name: "has nothing to write through when the manifest says writable: false",
    skip: ({ plugin }) => (plugin.manifest.writable ? "the manifest says writable: true" : undefined),
    run: (subject) =>
      withSample(subject, async ({ volume }) => {
        assert.equal(volume.write, undefined)
        assert.equal(subject.plugin.folder, undefined)
      }),
  },
  {
    name: "can hold what is written when the manifest says writable: true",
    skip: ({ plugin }) => (plugin.manifest.writable ? undefined : "the manifest says writable: false"),
    run: (subject) =>
      withSample(subject, async ({ volume }) => {
        assert.ok(
          subject.plugin.folder !== undefined || volume.write !== undefined,
          "neither folder nor write is there",
        )
      }),
  },
  {
    name: "refuses what is not there with the code that says so",
    skip: ({ missing }) => (missing === undefined ? "the subject names nothing that is missing" : undefined),
    async run(subject) {
      const { config, code } = subject.missing!
      const given = await accepted(subject, config)
      await refusedWith(code, "opening it", async () => {
        // Contained as the guard does it, because a plugin may leave Node's own errors to the guard.
        try {
          await subject.plugin.open(given, context(subject))
        } catch (thrown) {
          throw contain(thrown, { kind: subject.plugin.kind, path: "the missing one" })
        }
      })
    },
  },
  {
    name: "settles an opening that was aborted before it began, and opens normally afterwards",
    async run(subject) {
      const sample = await subject.sample()
      try {
        const config = await accepted(subject, sample.config)
        const opening = subject.plugin.open(config, context(subject, AbortSignal.abort()))
        if ((await settle(opening)).error === undefined) await (await opening).close()
        const volume = await subject.plugin.open(config, context(subject))
        same(await readRange(volume, 0, 512), sample.bytes.subarray(0, 512), "the first 512 bytes")
        await volume.close()
      } finally {
        await sample.release?.()
      }
    },
  },
  {
    name: "shows the same bytes in two openings at once",
    skip: ({ plugin }) => (plugin.manifest.shared ? undefined : "the manifest says shared: false"),
    run: (subject) =>
      withSample(subject, async ({ volume, bytes, again }) => {
        const other = await again()
        for (const one of [volume, other]) same(await readRange(one, 0, bytes.length), bytes, "the whole volume")
      }),
  },
  {
    name: "shows the same bytes when it is closed and opened again",
    skip: ({ plugin: { manifest } }) =>
      manifest.persistent || manifest.shared ? undefined : "the manifest says persistent: false and shared: false",
    run: (subject) =>
      withSample(subject, async ({ volume, bytes, again, closed }) => {
        await volume.close()
        closed(volume)
        same(await readRange(await again(), 0, bytes.length), bytes, "the whole volume")
      }),
  },
  {
    name: "keeps one opening readable when another is closed",
    skip: ({ plugin }) => (plugin.manifest.shared ? undefined : "the manifest says shared: false"),
    run: (subject) =>
      withSample(subject, async ({ volume, bytes, again, closed }) => {
        const other = await again()
        await other.close()
        closed(other)
        same(await readRange(volume, bytes.length - 512, 512), bytes.subarray(-512), "the last 512 bytes")
      }),
  },
  {
    name: "is closed once by the guard, after the reads in flight, which all succeed",
    run: (subject) =>
      withSample(subject, async ({ volume, bytes, closed }) => {
        const guard = guarded(volume, subject.plugin.kind)
        const reads = Array.from({ length: 16 }, (_, i) => readRange(guard, i * 4096, 4096))
        const closing = guard.close()
        closed(volume)
        for (const [i, read] of reads.entries())
          same(await read, bytes.subarray(i * 4096, (i + 1) * 4096), `read ${i} in flight while closing`)
        await closing
        await guard.close()
        await refusedWith("CLOSED", "a read after close", () => readRange(guard, 0, 1))
      }),
  },
  {
    name: "names a sibling without changing the config it was given",
    skip: ({ plugin }) => (plugin.sibling === undefined ? "the plugin has no sibling" : undefined),
    async run(subject) {
      const { config, release } = await subject.sample()
      const given = await accepted(subject, config)
      const before = structuredClone(given)
      const beside = subject.plugin.sibling!(given, "parents/base.raw")
      assert.deepEqual(given, before)
      assert.notDeepEqual(beside, given)
      assert.deepEqual(await accepted(subject, beside), beside, "a sibling's config passes the schema")
      await release?.()
    },
  },
]
