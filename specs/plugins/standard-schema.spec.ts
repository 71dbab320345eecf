/** A plugin whose config is described with somebody else's schema library: valibot, as a stand-in for any that speaks Standard Schema. */
import { storagePluginSuite } from "imagelink/conformance/storage-plugin"
import { definePlugin } from "imagelink/plugin"
import * as v from "valibot"
import { describe, expect, it } from "vitest"
import type { ImagelinkError } from "../../core/errors.ts"
import { openVolume, validateConfig } from "../../core/storage/open-volume.ts"
import { PluginRegistry } from "../../core/storage/registry.ts"

const counting = definePlugin({
  apiVersion: 1,
  kind: "counting",
  manifest: { persistent: true, writable: false, sparse: false, shared: true, local: true },
  config: v.strictObject({
    sizeBytes: v.pipe(v.number(), v.integer(), v.minValue(512), v.maxValue(2 ** 40)),
    step: v.optional(v.pipe(v.string(), v.transform(Number), v.picklist([1, 3, 7])), "7"),
  }),
  async open({ sizeBytes, step }) {
    return {
      sizeBytes,
      async read(into, at, offset, length) {
        for (let i = 0; i < length; i++) into[at + i] = ((offset + i) * step) % 251
      },
      async close() {},
    }
  },
})

storagePluginSuite(
  { describe, it },
  {
    plugin: counting,
    sample: async () => ({
      config: { sizeBytes: 200_000, step: "3" },
      bytes: Uint8Array.from({ length: 200_000 }, (_, i) => (i * 3) % 251),
    }),
    refused: [
      {},
      { sizeBytes: 511 },
      { sizeBytes: 512.5 },
      { sizeBytes: 512, step: "2" },
      { sizeBytes: 512, stop: "1" },
    ],
  },
)

it("gives its plugin what the schema made of the config: defaults, and numbers from texts", async () => {
  expect(await validateConfig(counting, { sizeBytes: 512 })).toEqual({ sizeBytes: 512, step: 7 })
  const plugins = new PluginRegistry().add(counting, "counting")
  const { signal } = new AbortController()
  const volume = await openVolume({ kind: "counting", config: { sizeBytes: 512 } }, { plugins, host: {}, signal })
  const into = new Uint8Array(2)
  await volume.read(into, 0, 1, 2)
  expect([...into]).toEqual([7, 14])
  await volume.close()
})

it("refuses with every issue of the schema, each with its key, and each once", async () => {
  const refused = (await validateConfig(counting, { sizeBytes: 1.5, stop: "1" }).catch((e) => e)) as ImagelinkError
  expect(refused.code).toBe("PLUGIN_CONFIG_INVALID")
  expect(refused.reason.split("; ").map((issue) => issue.split(" ")[0])).toEqual(["sizeBytes", "sizeBytes", "stop"])
  expect(refused.details).toEqual([])
})
