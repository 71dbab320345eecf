/** A bucket of s3rver, which judges neither signatures nor If-Match: what an object store that was not written by us answers, also over a link with faults. */
import * as fs from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { sampleBytes, storagePluginSuite } from "imagelink/conformance/storage-plugin"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { systemClock } from "../../plugins/remote/clock.ts"
import { remotePlugin } from "../../plugins/remote/index.ts"
import { randomFrom } from "../conformance/support/bytes.ts"
import { type Daemon, freePort, startDaemon } from "../support/daemon.ts"
import { linkProxy } from "../support/link-proxy.ts"
import { noise } from "../support/nbd-server.ts"
import { bytesAt, openRemoteVolume, refusalOf } from "../support/remote.ts"
import { requiresFromNpm } from "../support/requires.ts"

const s3rver = requiresFromNpm("s3rver", "s3rver@3.7.1")
const MiB = 1024 * 1024
/** The one account that it knows. */
const env = { AWS_ACCESS_KEY_ID: "S3RVER", AWS_SECRET_ACCESS_KEY: "S3RVER" }
const plugin = remotePlugin({ clock: systemClock, env })

describe.skipIf(s3rver.skip)("s3rver", () => {
  const bytes = noise(8 * MiB, 6)
  let folder: string
  let served: Daemon
  let made = 0

  beforeAll(async () => {
    folder = await fs.mkdtemp(join(tmpdir(), "imagelink-s3rver-"))
    const port = await freePort()
    const args = ["--silent", "-d", join(folder, "data"), "-a", "127.0.0.1", "-p", String(port)]
    served = await startDaemon("s3rver", [...args, "--configure-bucket", "images"], port)
    await put("disk.raw", bytes)
  })
  afterAll(async () => {
    await served?.stop()
    await fs.rm(folder, { recursive: true, force: true })
  })

  const put = async (name: string, body: Uint8Array, port = served.port) => {
    const url = `http://127.0.0.1:${port}/images/${encodeURI(name)}`
    const { ok } = await fetch(url, { method: "PUT", body: new Uint8Array(body) })
    expect(ok).toBe(true)
    return configOf(name)
  }
  const configOf = (name: string, port = served.port) => ({
    url: `s3://images/${encodeURI(name)}`,
    endpoint: `http://127.0.0.1:${port}`,
  })

  storagePluginSuite(
    { describe, it },
    {
      plugin,
      async sample() {
        const content = sampleBytes(200_001)
        return { config: await put(`samples/a disk ${made++}.raw`, content), bytes: content }
      },
    },
  )

  it("serves every byte, and once more out of the cache", async () => {
    const config = { ...configOf("disk.raw"), cache: join(folder, "cache") }
    for (let opening = 0; opening < 2; opening++) {
      const volume = await openRemoteVolume(config, { plugin })
      expect(Buffer.compare(await bytesAt(volume, 0, bytes.length), bytes)).toBe(0)
      await volume.close()
    }
  })

  it("is caught when an object is replaced, by the ETag of its answer", async () => {
    const volume = await openRemoteVolume(await put("replaced.raw", bytes.subarray(0, MiB)), { plugin })
    await put("replaced.raw", bytes.subarray(MiB, 2 * MiB))
    expect(await refusalOf(bytesAt(volume, 0, 512))).toMatch(/^REMOTE_CHANGED: .*\(its ETag was "[0-9a-f]{32}" and is /)
    await volume.close()
  })

  it("says that an object is not there, and that a key is nobody's", async () => {
    expect(await refusalOf(openRemoteVolume(configOf("gone.raw"), { plugin }))).toContain("IMAGE_FILE_NOT_FOUND")
    const other = remotePlugin({ clock: systemClock, env: { ...env, AWS_ACCESS_KEY_ID: "NOBODY" } })
    expect(await refusalOf(openRemoteVolume(configOf("disk.raw"), { plugin: other }))).toContain(
      "its server answers 403: reading it is not allowed",
    )
  })

  it("serves the right bytes over a slow link that resets, cuts and stalls", async () => {
    const seed = 7
    const random = randomFrom(seed)
    const kinds = ["reset", "cut", "stall"] as const
    const fault = () => (random() < 0.03 ? kinds[Math.floor(random() * 3)] : undefined)
    const link = await linkProxy({ port: served.port, roundTripMillis: 2, fault })
    const volume = await openRemoteVolume({ ...configOf("disk.raw", link.port), readMillis: 60_000 }, { plugin })
    for (let i = 0; i < 30; i++) {
      const offset = Math.floor(random() * (bytes.length - 300_000))
      const got = await bytesAt(volume, offset, 300_000)
      expect(Buffer.compare(got, bytes.subarray(offset, offset + 300_000)), `seed ${seed}, at ${offset}`).toBe(0)
    }
    await volume.close()
    await link.close()
  })
})
