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
import { systemClock } from "../../plugins/remote/clock.ts"
import { remotePlugin } from "../../plugins/remote/index.ts"
import { throughTier } from "../support/cached-plugin.ts"
import { startNbd } from "../support/nbd-server.ts"
import { type ObjectServer, objectServer } from "../support/object-server.ts"
import { type S3Server, s3Server } from "../support/s3-server.ts"

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

type Sampled = Pick<StoragePluginSubject, "plugin" | "sample">

const key = { accessKeyId: "AKIDEXAMPLE", secretAccessKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY" }
const env = { AWS_ACCESS_KEY_ID: key.accessKeyId, AWS_SECRET_ACCESS_KEY: key.secretAccessKey }
const signing = remotePlugin({ clock: systemClock, env })
let http: ObjectServer
let s3: S3Server
beforeAll(async () => {
  http = await objectServer()
  s3 = await s3Server({ bucket: "images", region: "eu-central-1", ...key })
})
afterAll(async () => {
  await http.stop()
  await s3.close()
})

const subjects: Readonly<Record<string, Sampled>> = {
  example: { plugin: example, sample: async () => ({ config: { sizeBytes: SIZE }, bytes: offsets() }) },
  file: {
    plugin: file,
    async sample() {
      const bytes = sampleBytes(SIZE)
      const path = join(temporary, `image-${made++}`)
      await fs.writeFile(path, bytes)
      return { config: { path }, bytes, file: path, release: () => fs.rm(path) }
    },
  },
  "remote over HTTP": {
    plugin: signing,
    async sample() {
      const bytes = sampleBytes(SIZE)
      const name = `/image-${made++}.raw`
      http.put(name, bytes)
      return { config: { url: `${http.origin}${name}`, cache: join(temporary, "cache") }, bytes }
    },
  },
  "remote from S3": {
    plugin: signing,
    async sample() {
      const bytes = sampleBytes(SIZE)
      const name = `image-${made++}.raw`
      s3.objects.set(name, { bytes, etag: `"${name}"` })
      return { config: { url: `s3://images/${name}`, endpoint: s3.endpoint, region: "eu-central-1" }, bytes }
    },
  },
  "remote over NBD": {
    plugin: signing,
    async sample() {
      const served = await startNbd({ sizeBytes: SIZE })
      const bytes = sampleBytes(SIZE)
      served.image.bytes.set(bytes)
      return { config: { url: served.imageUri }, bytes, release: served.stop }
    },
  },
}

for (const [name, { plugin, sample }] of Object.entries(subjects)) {
  for (const tier of ["cached", "in-ram"] as const)
    describe(`${name}, ${tier}`, () =>
      storagePluginSuite({ describe, it }, { plugin: throughTier(plugin, tier), sample }))

  blockDeviceConformance(
    { describe, it },
    {
      name: `a version over ${name}`,
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
