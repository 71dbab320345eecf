/** Exports of nbdkit and qemu-nbd, also where nbdkit's filters make them slow and faulty. */
import * as fs from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { sampleBytes, storagePluginSuite } from "imagelink/conformance/storage-plugin"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import remote from "../../plugins/remote/index.ts"
import { randomFrom } from "../conformance/support/bytes.ts"
import { type Daemon, freePort, startDaemon } from "../support/daemon.ts"
import { linkProxy } from "../support/link-proxy.ts"
import { noise } from "../support/nbd-server.ts"
import { bytesAt, openRemoteVolume, refusalOf } from "../support/remote.ts"
import { requires } from "../support/requires.ts"

const nbdkit = requires("nbdkit", "nbdkit")
const qemuNbd = requires("qemu-nbd", "qemu-utils")
const MiB = 1024 * 1024
const bytes = noise(8 * MiB, 4)
let folder: string
let made = 0

beforeAll(async () => {
  folder = await fs.mkdtemp(join(tmpdir(), "imagelink-remote-nbd-"))
  await fs.writeFile(join(folder, "disk.raw"), bytes)
})
afterAll(() => fs.rm(folder, { recursive: true, force: true }))

const startNbdkit = async (...args: ReadonlyArray<string>): Promise<Daemon> => {
  const port = await freePort()
  return startDaemon("nbdkit", ["-f", "-i", "127.0.0.1", "-p", String(port), ...args], port)
}
const url = ({ port }: { readonly port: number }, name = "") => `nbd://127.0.0.1:${port}/${name}`

const readsRight = async (at: string, reads: number, seed: number) => {
  const random = randomFrom(seed)
  const volume = await openRemoteVolume({ url: at, readMillis: 60_000 })
  for (let i = 0; i < reads; i++) {
    const offset = Math.floor(random() * (bytes.length - 200_000))
    const got = await bytesAt(volume, offset, 200_000)
    expect(Buffer.compare(got, bytes.subarray(offset, offset + 200_000)), `seed ${seed}, at ${offset}`).toBe(0)
  }
  await volume.close()
}

describe.skipIf(nbdkit.skip)("nbdkit", () => {
  let served: Daemon
  beforeAll(async () => {
    await fs.mkdir(join(folder, "samples"))
    served = await startNbdkit("-r", "file", `dir=${join(folder, "samples")}`)
  })
  afterAll(() => served?.stop())

  storagePluginSuite(
    { describe, it },
    {
      plugin: remote,
      async sample() {
        const content = sampleBytes(200_001)
        const name = `sample ${made++}`
        await fs.writeFile(join(folder, "samples", name), content)
        return { config: { url: url(served, encodeURIComponent(name)) }, bytes: content }
      },
    },
  )

  it("serves the right bytes when it is slow and fails one read in five", async () => {
    const filters = ["--filter=delay", "--filter=error", "file", join(folder, "disk.raw")]
    const faulty = await startNbdkit("-r", ...filters, "rdelay=2ms", "error=EIO", "error-pread-rate=20%")
    await readsRight(url(faulty), 30, 1)
    await faulty.stop()
  })

  it("is answered for at the deadline when it fails every read, and heals", async () => {
    const trigger = join(folder, "trigger")
    await fs.writeFile(trigger, "")
    const filters = ["--filter=error", "file", join(folder, "disk.raw"), "error-rate=100%", `error-file=${trigger}`]
    const failing = await startNbdkit("-r", ...filters)
    const volume = await openRemoteVolume({ url: url(failing), readMillis: 500 })
    expect(await refusalOf(bytesAt(volume, 0, 512))).toContain("now: its server answers a read with error 5")
    await fs.rm(trigger)
    expect(Buffer.compare(await bytesAt(volume, 0, 512), bytes.subarray(0, 512))).toBe(0)
    await volume.close()
    await failing.stop()
  })

  it("is read by its own least size of a request", async () => {
    const policy = [
      "--filter=blocksize-policy",
      "blocksize-minimum=4096",
      "blocksize-preferred=4096",
      "blocksize-maximum=65536",
    ]
    const strict = await startNbdkit(
      "-r",
      policy[0]!,
      "file",
      join(folder, "disk.raw"),
      ...policy.slice(1),
      "blocksize-error-policy=error",
    )
    await readsRight(url(strict), 10, 2)
    await strict.stop()
  })

  it("is read over several connections where it takes them, and over one where it does not", async () => {
    await fs.writeFile(join(folder, "large.raw"), Buffer.alloc(16 * MiB, 7))
    const connections = async (multi: string) => {
      const filters = ["--filter=multi-conn", "file", join(folder, "large.raw"), `multi-conn-mode=${multi}`]
      const one = await startNbdkit("-r", ...filters)
      const link = await linkProxy({ port: one.port, roundTripMillis: 4 })
      const volume = await openRemoteVolume({ url: url(link) })
      expect((await bytesAt(volume, 0, 16 * MiB)).every((byte) => byte === 7)).toBe(true)
      await volume.close()
      const used = link.connections
      await link.close()
      await one.stop()
      return used
    }
    expect(await connections("disable")).toBe(1)
    const several = await connections("unsafe")
    expect([several > 1, several <= 4]).toEqual([true, true])
  })

  it("serves the right bytes over a link that resets, cuts and stalls", async () => {
    const one = await startNbdkit("-r", "file", join(folder, "disk.raw"))
    const random = randomFrom(3)
    const kinds = ["reset", "cut", "stall"] as const
    const fault = () => (random() < 0.03 ? kinds[Math.floor(random() * 3)] : undefined)
    const link = await linkProxy({ port: one.port, roundTripMillis: 2, fault })
    await readsRight(url(link), 30, 3)
    await link.close()
    await one.stop()
  })
})

describe.skipIf(qemuNbd.skip)("qemu-nbd", () => {
  let served: Daemon
  beforeAll(async () => {
    const port = await freePort()
    const where = ["-b", "127.0.0.1", "-p", String(port), "-x", "lab/disk", "-e", "8"]
    served = await startDaemon("qemu-nbd", ["-r", "-t", "-f", "raw", ...where, join(folder, "disk.raw")], port)
  })
  afterAll(() => served?.stop())

  it("serves the right bytes of a named export, and says that another is not there", async () => {
    await readsRight(url(served, "lab/disk"), 30, 5)
    expect(await refusalOf(openRemoteVolume({ url: url(served, "other") }))).toContain("IMAGE_FILE_NOT_FOUND")
  })

  it("serves the right bytes over a link that resets, cuts and stalls", async () => {
    const random = randomFrom(6)
    const kinds = ["reset", "cut", "stall"] as const
    const fault = () => (random() < 0.03 ? kinds[Math.floor(random() * 3)] : undefined)
    const link = await linkProxy({ port: served.port, roundTripMillis: 2, fault })
    await readsRight(url(link, "lab/disk"), 20, 6)
    await link.close()
  })
})
