/** The storage plugins once more, through the read cache and out of the RAM tier, and as the disks that protocols meet. */
import * as fs from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { blockDeviceConformance } from "imagelink/conformance/block-device"
import { type StoragePluginSubject, sampleBytes, storagePluginSuite } from "imagelink/conformance/storage-plugin"
import { afterAll, beforeAll, describe, it } from "vitest"
import { ReadCache } from "../../core/block/cache.ts"
import { guardDevice } from "../../core/block/guard.ts"
import { openVersion } from "../../core/block/version.ts"
import { openVolume } from "../../core/storage/open-volume.ts"
import { PluginRegistry } from "../../core/storage/registry.ts"
import example from "../../plugins/example/index.ts"
import file from "../../plugins/file/index.ts"
import { throughTier } from "../support/cached-plugin.ts"

const SIZE = 1024 * 1024 + 512
let temporary: string
let made = 0
beforeAll(async () => {
  temporary = await fs.mkdtemp(join(tmpdir(), "imagelink-tiers-"))
})
afterAll(() => fs.rm(temporary, { recursive: true, force: true }))

/** One 64-bit number per eight bytes: the offset of its block. */
const offsets = (): Uint8Array => {
  const bytes = new Uint8Array(SIZE)
  const view = new DataView(bytes.buffer)
  for (let at = 0; at < SIZE; at += 8) view.setBigUint64(at, BigInt(at - (at % 512)))
  return bytes
}

const subjects: ReadonlyArray<Pick<StoragePluginSubject, "plugin" | "sample">> = [
  { plugin: example, sample: async () => ({ config: { sizeBytes: SIZE }, bytes: offsets() }) },
  {
    plugin: file,
    async sample() {
      const bytes = sampleBytes(SIZE)
      const path = join(temporary, `image-${made++}`)
      await fs.writeFile(path, bytes)
      return { config: { path }, bytes, file: path, release: () => fs.rm(path) }
    },
  },
]

for (const { plugin, sample } of subjects) {
  for (const tier of ["cached", "in-ram"] as const)
    storagePluginSuite({ describe, it }, { plugin: throughTier(plugin, tier), sample })

  blockDeviceConformance(
    { describe, it },
    {
      name: `a version over the ${plugin.kind} plugin`,
      features: { byteGranular: true, writable: false, durable: false, trim: false, fastZero: false },
      async make() {
        const { config, bytes, release } = await sample()
        const plugins = new PluginRegistry().add(plugin, plugin.kind)
        const { signal } = new AbortController()
        const location = { kind: plugin.kind, config: config as Readonly<Record<string, unknown>> }
        const below = await openVolume(location, { plugins, host: {}, signal })
        const cache = new ReadCache({ bytes: 3 * 65_536 })
        const version = openVersion({ id: "image@1", contentId: "image@1", cache, below, sizeBytes: below.sizeBytes })
        const device = guardDevice(version)
        const dispose = async () => {
          await device.close()
          await below.close()
          await release?.()
        }
        return { device, reference: bytes, dispose }
      },
    },
  )
}
