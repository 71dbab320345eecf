import { join } from "node:path"
import { storagePluginSuite } from "imagelink/conformance/storage-plugin"
import { describe, expect, it } from "vitest"
import example from "../../plugins/example/index.ts"

/** Written out differently from the plugin: one 64-bit number per eight bytes. */
const pattern = (sizeBytes: number): Uint8Array => {
  const bytes = new Uint8Array(sizeBytes)
  const view = new DataView(bytes.buffer)
  for (let at = 0; at < sizeBytes; at += 8) view.setBigUint64(at, BigInt(Math.floor(at / 512) * 512))
  return bytes
}

storagePluginSuite(
  { describe, it },
  {
    plugin: example,
    sample: async () => ({ config: { sizeBytes: 262_144 }, bytes: pattern(262_144) }),
    module: join(import.meta.dirname, "../../plugins/example/index.ts"),
    refused: [
      {},
      { sizeBytes: 0 },
      { sizeBytes: 511 },
      { sizeBytes: 513 },
      { sizeBytes: "512" },
      { sizeBytes: 1e300 },
      { sizeBytes: 512, size: 512 },
    ],
  },
)

it("counts exactly in the last block of the largest image", async () => {
  const sizeBytes = 64 * 2 ** 40
  const volume = await example.open({ sizeBytes }, { signal: new AbortController().signal, host: {} })
  const into = new Uint8Array(8)
  await volume.read(into, 0, sizeBytes - 8, 8)
  expect([...into]).toEqual([0, 0, 0x3f, 0xff, 0xff, 0xff, 0xfe, 0])
})
