/** A recorded boot whose image is another server's: what each client asks of it, the first, the next, and those of a second server that was given the first one's heat. */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { compactTrace } from "../support/boot-trace.ts"
import { scratch } from "../support/cli.ts"
import { freePort, startDaemon } from "../support/daemon.ts"
import { rawImage } from "../support/images.ts"
import { objectServer } from "../support/object-server.ts"
import { requires } from "../support/requires.ts"
import { type ServingSite, serveHere } from "../support/serving.ts"

const nbdkit = requires("nbdkit", "nbdkit")
const MiB = 2 ** 20
const { reads, clusters } = compactTrace()
const folder = scratch("remote-boot")
const { path, bytes } = rawImage(folder, "os.raw", clusters * 65_536)

/** Where an image is, and how often it was asked for bytes. */
interface Base {
  readonly url: string
  asked(): number
  stop(): Promise<void>
}

const overHttp = async (): Promise<Base> => {
  const server = await objectServer()
  server.put("/os.raw", bytes)
  return { url: `${server.origin}/os.raw`, asked: () => server.requests.length, stop: server.stop }
}

/** A disk that takes 5 ms for each read. */
const overNbd = async (): Promise<Base> => {
  const port = await freePort()
  const log = join(folder, "nbdkit.log")
  const filters = ["--filter=log", "--filter=delay", "file", path, `logfile=${log}`, "rdelay=5ms"]
  const { stop } = await startDaemon("nbdkit", ["-f", "-r", "-i", "127.0.0.1", "-p", String(port), ...filters], port)
  const asked = () => readFileSync(log, "utf8").match(/ Read id=\d+ /g)?.length ?? 0
  return { url: `nbd://127.0.0.1:${port}/`, asked, stop }
}

const serve = async (name: string, { url }: Base) => {
  const here = await serveHere(join(folder, name), undefined, 128 * MiB, 96 * MiB)
  await here.do("image.add", { name: "os", path: url, check: false })
  for (const n of [1, 2]) await here.do("client.add", { mac: `52:54:00:00:00:0${n}`, name: `pc-${n}` })
  await here.do("client.link", { clients: ["pc-1", "pc-2"], image: "os", slot: 0 })
  return here
}

/** Replays the trace and compares every byte; answers how often the base was asked meanwhile. */
const boot = async (here: ServingSite, client: string, base: Base): Promise<number> => {
  const before = base.asked()
  const { device, release } = await here.attach(client)
  for (const { offset, length } of reads) {
    const into = Buffer.alloc(length)
    if (!device.readSync(into, 0, offset, length)) await device.read(into, 0, offset, length)
    if (!into.equals(bytes.subarray(offset, offset + length))) expect.fail(`other bytes at ${offset}+${length}`)
  }
  await release()
  return base.asked() - before
}

const boots = (name: string, start: () => Promise<Base>) => {
  let base: Base
  let first: ServingSite
  let cold: number
  beforeAll(async () => {
    base = await start()
    first = await serve(`${name}-first`, base)
    cold = await boot(first, "pc-1", base)
  })
  afterAll(async () => {
    await first?.close()
    await base?.stop()
  })

  it("asks for nothing when the second client boots", async () => {
    expect(cold).toBeGreaterThan(50)
    // The image is looked at once more when a disk on it is opened.
    expect(await boot(first, "pc-2", base)).toBeLessThanOrEqual(2)
  })

  it("asks for at most a tenth when a second server boots cold, with the first one's heat placed in RAM", async () => {
    const { bytes: heat } = await first.do("heat.export", { name: "os" })
    const second = await serve(`${name}-second`, base)
    try {
      await second.do("heat.import", { name: "os", bytes: heat })
      await second.do("image.place", { name: "os", tier: "ramdisk", hot: true })
      expect(await boot(second, "pc-1", base)).toBeLessThanOrEqual(cold / 10)
    } finally {
      await second.close()
    }
  })
}

describe("over HTTP", () => boots("http", overHttp))
describe.skipIf(nbdkit.skip)("from a disk behind nbdkit that takes 5 ms for each read", () => boots("nbd", overNbd))
