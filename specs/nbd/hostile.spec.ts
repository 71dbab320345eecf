/** Broken and malicious input: whatever comes, nothing throws, nothing hangs, and nothing is left in flight. */
import { connect } from "node:net"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { connectNbd } from "../../adapters/nbd/client.ts"
import { describeExport } from "../../adapters/nbd/exports.ts"
import { answer, initial, type Step, step } from "../../adapters/nbd/handshake.ts"
import { listenNbd, type NbdServer } from "../../adapters/nbd/server.ts"
import { NbdSession } from "../../adapters/nbd/session.ts"
import { Slabs } from "../../core/slab-output.ts"
import { ArrayWire } from "../support/array-wire.ts"
import { MemoryDevice, MemoryDisks, seeded } from "../support/memory-disks.ts"
import { golden, goldenNames, said } from "../support/nbd-golden.ts"
import { settle } from "../support/nbd-session.ts"

const exportName = "client/PC-001/0"

/** A whole connection without a socket: handshake, then session. */
const converse = (chunks: ReadonlyArray<Uint8Array>, missRate = 0) => {
  const device = new MemoryDevice({ sizeBytes: 1024 * 1024, missRate })
  const wire = new ArrayWire()
  const ends: Array<string> = []
  let state = initial
  let session: NbdSession | undefined
  let closed = false

  const follow = (first: Step): void => {
    let s = first
    for (;;) {
      state = s.state
      for (const reply of s.replies) wire.send(reply)
      if (s.outcome.want === "export")
        s = answer(state, { kind: "export", info: describeExport("x", "", device, state.structured) })
      else if (s.outcome.want === "list")
        s = answer(state, { kind: "list", disks: [{ name: exportName, description: "" }] })
      else break
    }
    closed ||= s.outcome.want === "close"
    if (s.outcome.want !== "transmission") return
    const { structured, allocation, rest } = s.outcome
    session = new NbdSession({
      device,
      wire,
      slabs: new Slabs(320 * 1024, 4),
      structured,
      allocation,
      ended: (why) => ends.push(why),
    })
    session.receive(rest)
  }
  for (const chunk of chunks) {
    if (session !== undefined) session.receive(Buffer.from(chunk))
    else if (!closed) follow(step(state, chunk))
  }
  session?.lost("the peer left")
  return { wire, ends, inTransmission: session !== undefined, device }
}

describe("what known clients send, cut off at every byte", () => {
  it.each(goldenNames)("%s", async (name) => {
    const bytes = said(golden(name), "C")
    const sessions: Array<ReturnType<typeof converse>> = []
    for (let cut = 0; cut <= bytes.length; cut++) {
      const whole = converse([bytes.subarray(0, cut)])
      const halves = converse([bytes.subarray(0, cut), bytes.subarray(cut)])
      expect([cut, halves.inTransmission], `${name} cut at ${cut}`).toEqual([
        cut,
        name !== "libnbd-list" && name !== "nbd-client-list",
      ])
      sessions.push(whole)
    }
    await settle()
    for (const s of sessions) expect(s.ends.length).toBe(s.inTransmission ? 1 : 0)
  })
})

describe("what qemu-io 7.2 sends, changed in one to four bytes", () => {
  it("2000 times", async () => {
    const bytes = said(golden("qemu-io"), "C")
    const seed = 4242
    const random = seeded(seed)
    const sessions: Array<ReturnType<typeof converse>> = []
    for (let round = 0; round < 2000; round++) {
      const changed = Buffer.from(bytes)
      for (let n = 1 + Math.floor(random() * 4); n > 0; n--)
        changed[Math.floor(random() * changed.length)] = Math.floor(random() * 256)
      const cut = Math.floor(random() * changed.length)
      try {
        sessions.push(converse([changed.subarray(0, cut), changed.subarray(cut)], random() < 0.5 ? 0.5 : 0))
      } catch (e) {
        throw new Error(`seed ${seed} round ${round}: ${(e as Error).message}`, { cause: e })
      }
    }
    await settle(10)
    sessions.forEach((s, round) => {
      expect(s.ends.length, `seed ${seed} round ${round}`).toBe(s.inTransmission ? 1 : 0)
    })
    // A canary: most mutations fall into the payload, so most conversations must have got this far.
    expect(sessions.filter((s) => s.inTransmission).length).toBeGreaterThan(500)
  })
})

describe("random bytes", () => {
  it("instead of a handshake, 2000 times", () => {
    const seed = 99
    const random = seeded(seed)
    for (let round = 0; round < 2000; round++) {
      const noise = Buffer.from(Array.from({ length: Math.floor(random() * 200) }, () => Math.floor(random() * 256)))
      expect(converse([noise]).inTransmission, `seed ${seed} round ${round}`).toBe(false)
    }
  })
  it("in the fields of well-formed requests, 5000 times", async () => {
    const seed = 7
    const random = seeded(seed)
    const enter = said(golden("qemu-io").slice(0, 6), "C")
    const pick = (values: ReadonlyArray<number>): number => values[Math.floor(random() * values.length)]!
    const sessions: Array<ReturnType<typeof converse>> = []
    for (let round = 0; round < 500; round++) {
      const requests: Array<Buffer> = []
      for (let i = 0; i < 10; i++) {
        const b = Buffer.alloc(28)
        b.writeUInt32BE(0x25609513, 0)
        b.writeUInt16BE(random() < 0.7 ? 0 : Math.floor(random() * 65_536), 4)
        const type = pick([0, 0, 1, 3, 4, 5, 6, 7, 8, Math.floor(random() * 65_536)])
        b.writeUInt16BE(type, 6)
        b.writeUInt32BE(i, 12)
        b.writeBigUInt64BE(BigInt(pick([0, 512, 1024 * 1024 - 512, 1024 * 1024, 2 ** 40, 2 ** 52])), 16)
        const length = pick([0, 512, 4096, 65_536, 1024 * 1024])
        b.writeUInt32BE(length, 24)
        requests.push(b)
        if (type === 1) requests.push(Buffer.alloc(length, 0x11))
      }
      sessions.push(converse([enter, Buffer.concat(requests)], 0.5))
    }
    await settle(10)
    sessions.forEach((s, round) => {
      expect([s.inTransmission, s.ends.length], `seed ${seed} round ${round}`).toEqual([true, 1])
    })
  })
})

describe("over a socket", () => {
  let server: NbdServer
  beforeAll(async () => {
    const disks = new MemoryDisks().add(exportName, new MemoryDevice({ sizeBytes: 1024 * 1024 }))
    server = await listenNbd({ address: "127.0.0.1", port: 0, disks })
  })
  afterAll(() => server.close())

  const sendAndLeave = (bytes: Uint8Array, reset: boolean): Promise<void> =>
    new Promise((resolve) => {
      const socket = connect(server.port, "127.0.0.1", () => {
        socket.resume()
        socket.write(bytes, () => (reset ? socket.resetAndDestroy() : socket.end()))
      })
      socket.on("error", () => undefined).on("close", () => resolve())
    })

  it("peers that leave anywhere, politely or not, leave nothing behind, and the next one is served", async () => {
    for (const name of goldenNames) {
      const bytes = said(golden(name), "C")
      const cuts = Array.from({ length: 24 }, (_, i) => Math.floor((i * bytes.length) / 23))
      await Promise.all(cuts.map((cut, i) => sendAndLeave(bytes.subarray(0, cut), i % 2 === 0)))
    }
    for (let i = 0; i < 200 && server.connections() > 0; i++) await new Promise((r) => setTimeout(r, 10))
    expect(server.connections()).toBe(0)
    const client = await connectNbd({ host: "127.0.0.1", port: server.port, export: exportName })
    expect((await client.read(0, 512)).length).toBe(512)
    await client.disconnect()
  })
})
