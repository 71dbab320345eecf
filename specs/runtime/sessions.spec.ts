/** Who has a disk open, what they move, and how they are asked to leave. */
import { describe, expect, it } from "vitest"
import type { BlockDevice } from "../../core/block/device.ts"
import type { Disks, Ending, Lease, Peer } from "../../core/block/lease.ts"
import { READ_BYTES, READS } from "../../core/block/meter.ts"
import { fail } from "../../core/errors.ts"
import { makeSessions } from "../../core/runtime/sessions.ts"

const nbd: Peer = { address: "10.0.0.1", loopback: false, protocol: "nbd" }
const iscsi: Peer = { address: "10.0.0.2", loopback: false, protocol: "iscsi", initiator: "iqn.x:pc" }

const setup = () => {
  let millis = 0
  const released: Array<string> = []
  const forgotten: Array<string> = []
  const failed: Array<string> = []
  let broken = false
  const device = {
    readSync: () => {
      if (broken) throw fail("IO_ERROR", { what: "x" })
      return true
    },
    writeSync: () => true,
  } as unknown as BlockDevice
  const lease = (identity: string | undefined, description: string): Lease => ({
    ...{ device, description },
    ...(identity === undefined ? {} : { identity }),
    onRevoked: () => () => void forgotten.push(description),
    release: async () => void released.push(description),
  })
  const sessions = makeSessions({
    now: () => 1000 + millis,
    monotonic: () => millis,
    onError: (clientId) => failed.push(clientId),
  })
  const disks = sessions.watch({
    attach: async (client: string, slot: number) => lease(`id-${client}/${slot}`, `${client} slot ${slot}`),
    attachImage: async (name: string) => lease(undefined, name),
  } as unknown as Disks)
  const open = (client: string, slot = 0, peer = nbd) => disks.attach(client, slot, undefined, peer)
  const read = (one: Lease, bytes: number) => one.device.readSync(new Uint8Array(0), 0, 0, bytes)
  const write = (one: Lease, bytes: number) => one.device.writeSync(new Uint8Array(0), 0, 0, bytes, 0)
  const pass = (by: number) => {
    millis += by
  }
  return { sessions, disks, open, read, write, pass, released, forgotten, failed, breaks: () => (broken = true) }
}

describe("sessions", () => {
  it("are known while they are open, each with who, since when and what it moved", async () => {
    const { sessions, open, read, write, pass, released } = setup()
    expect([sessions.of("id-a"), sessions.traffic().size]).toEqual([[], 0])
    const first = await open("a")
    pass(5)
    const second = await open("a", 1, iscsi)
    read(first, 10)
    write(second, 7)
    expect(sessions.of("id-a")).toEqual([
      {
        ...{ protocol: "nbd", address: "10.0.0.1", initiator: null, slot: 0, disk: "a slot 0", since: 1000 },
        readBytes: 10,
        writtenBytes: 0,
      },
      {
        ...{ protocol: "iscsi", address: "10.0.0.2", initiator: "iqn.x:pc", slot: 1, disk: "a slot 1", since: 1005 },
        readBytes: 0,
        writtenBytes: 7,
      },
    ])
    await first.release()
    await first.release()
    expect([sessions.of("id-a").length, released]).toEqual([1, ["a slot 0", "a slot 0"]])
    await second.release()
    expect([sessions.of("id-a"), sessions.traffic().size]).toEqual([[], 0])
  })

  it("of versions of images are nobody's own, and are counted with their protocol", async () => {
    const { sessions, disks, read } = setup()
    const image = await disks.attachImage("win11", 1, nbd)
    read(image, 512)
    expect(sessions.traffic().size).toBe(0)
    expect(sessions.protocols().map(({ protocol, counts }) => [protocol, counts[READ_BYTES]])).toEqual([["nbd", 512]])
  })

  it("count on with their protocol when they have ended, once", async () => {
    const { sessions, open, read } = setup()
    const one = await open("a")
    read(one, 100)
    await one.release()
    await one.release()
    const two = await open("b")
    read(two, 11)
    const [{ counts } = { counts: new Float64Array(2) }] = sessions.protocols()
    expect([counts[READ_BYTES], counts[READS]]).toEqual([111, 2])
  })
})

describe("what a client moves", () => {
  it("is a rate since the sample before the last, all its sessions together, those that ended included", async () => {
    const { sessions, open, read, write, pass } = setup()
    const one = await open("a")
    const two = await open("a")
    const now = () => sessions.traffic().get("id-a")
    expect(now()).toEqual({ sessions: 2, readBytesPerSecond: 0, writtenBytesPerSecond: 0 })
    read(one, 1000)
    pass(500)
    expect(now()).toEqual({ sessions: 2, readBytesPerSecond: 2000, writtenBytesPerSecond: 0 })
    pass(1500)
    sessions.sample()
    read(two, 3000)
    write(two, 500)
    await two.release()
    pass(2000)
    sessions.sample()
    expect(now()).toEqual({ sessions: 1, readBytesPerSecond: 1500, writtenBytesPerSecond: 250 })
    pass(2000)
    sessions.sample()
    expect(now()).toEqual({ sessions: 1, readBytesPerSecond: 0, writtenBytesPerSecond: 0 })
  })
})

describe("disconnecting a client", () => {
  it("asks each of its sessions to end, also when one takes others with it, and nobody else's", async () => {
    const { sessions, open, forgotten } = setup()
    const told: Array<string> = []
    const [one, two, other] = [await open("a"), await open("a", 1), await open("b")]
    one.onRevoked((ending: Ending) => {
      told.push(`one ${ending}`)
      void two.release()
    })
    const forget = two.onRevoked((ending: Ending) => told.push(`two ${ending}`))
    other.onRevoked(() => told.push("other"))
    const ending = sessions.disconnect("id-a")
    expect(ending).toHaveLength(2)
    expect(told).toEqual(["one disconnected", "two disconnected"])
    forget()
    expect(forgotten).toEqual(["a slot 1"])
    await one.release()
    await Promise.all(ending)
    expect(sessions.disconnect("id-a")).toEqual([])
    expect(sessions.disconnect("id-none")).toEqual([])
  })
})

describe("a request that fails", () => {
  it("is told with its client", async () => {
    const { open, read, failed, breaks } = setup()
    const one = await open("a")
    breaks()
    expect(() => read(one, 1)).toThrow(Error)
    expect(failed).toEqual(["id-a"])
  })
})
