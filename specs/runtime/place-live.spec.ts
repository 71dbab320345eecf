/** What a client on the wire sees of its image while that goes into RAM and back, over a base that is slow on purpose. */
import { join } from "node:path"
import { afterEach, beforeEach, expect, it } from "vitest"
import { connectNbd, type NbdClient } from "../../adapters/nbd/client.ts"
import { listenNbd, type NbdServer } from "../../adapters/nbd/server.ts"
import { limits } from "../../core/limits.ts"
import { scratch } from "../support/cli.ts"
import { rawImage } from "../support/images.ts"
import { random } from "../support/random.ts"
import { type ServingSite, serveHere } from "../support/serving.ts"
import { type SlowBase, slowBase } from "../support/slow-base.ts"

const C = limits.clusterBytes
const CLUSTERS = 48
const folder = scratch("place-live")
const { path, bytes } = rawImage(folder, "os.raw", CLUSTERS * C)
let made = 0
let base: SlowBase
let here: ServingSite
let nbd: NbdServer
let client: NbdClient

beforeEach(async () => {
  base = { loads: 0, millis: 0 }
  here = await serveHere(join(folder, `data-${++made}`), slowBase(base))
  await here.do("image.add", { name: "os", path, check: true })
  await here.do("client.add", { mac: "52:54:00:00:00:01", name: "pc" })
  await here.do("client.link", { clients: ["pc"], image: "os", slot: 0 })
  nbd = await listenNbd({ address: "127.0.0.1", port: 0, disks: here.disks })
  client = await connectNbd({ host: "127.0.0.1", port: nbd.port, export: "client/pc/0" })
})
afterEach(async () => {
  await client.disconnect()
  await nbd.close()
  await here.close()
})

const place = (tier: "ramdisk" | "file") => here.do("image.place", { name: "os", tier })
const reads = async (offset: number, length: number) => {
  const got = await client.read(offset, length)
  expect(Buffer.compare(got, bytes.subarray(offset, offset + length)), `${offset}+${length}`).toBe(0)
}
/** The base answers nothing; what it is asked for is listed, until it is let go. */
const held = () => {
  const asked: Array<number> = []
  const { promise, resolve } = Promise.withResolvers<void>()
  base.hold = (offset) => {
    asked.push(offset / C)
    return promise
  }
  const until = async (count: number) => {
    for (let i = 0; i < 3000 && asked.length < count; i++) await new Promise((done) => setTimeout(done, 10))
    expect(asked.length).toBeGreaterThanOrEqual(count)
  }
  const letGo = () => {
    delete base.hold
    resolve()
  }
  return { asked, until, letGo }
}

it("what it has read before is answered while the fill waits for a base that hangs", async () => {
  for (const cluster of [0, 5, 47]) await reads(cluster * C, 4096)
  const { until, letGo } = held()
  const placing = place("ramdisk")
  await until(1)
  for (let round = 0; round < 20; round++) for (const cluster of [0, 5, 47]) await reads(cluster * C + 8192, 4096)
  letGo()
  expect((await placing).ram).toEqual({ versions: [1], bytes: CLUSTERS * C, left: 0 })
})

it("what it reads for the first time is asked for at once, beside the few clusters that the fill has under way", async () => {
  const { asked, until, letGo } = held()
  const placing = place("ramdisk")
  await until(1)
  const reading = reads(40 * C, 4096)
  await until(asked.length + 1)
  const place40 = asked.indexOf(40)
  expect([place40 >= 0, place40 <= limits.ramFillAtOnceMax]).toEqual([true, true])
  letGo()
  await reading
  await placing
})

it("each of its reads is answered with its own bytes, in whichever tier they are, through ten moves", async () => {
  base.millis = 1
  const r = random(21)
  let moving = true
  let answered = 0
  const reader = async () => {
    while (moving) {
      const offset = r.int(CLUSTERS * C - 1)
      await reads(offset, 1 + r.int(Math.min(3 * C, CLUSTERS * C - offset)))
      answered++
    }
  }
  const readers = [reader(), reader(), reader(), reader()]
  for (let move = 0; move < 5; move++) {
    const before = answered
    expect((await place("ramdisk")).ram?.left).toBe(0)
    await place("file")
    // It was answered meanwhile, and not only before and after.
    expect(answered).toBeGreaterThan(before)
  }
  moving = false
  await Promise.all(readers)
})
