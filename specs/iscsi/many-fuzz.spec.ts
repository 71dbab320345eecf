/** Many of everything: sessions at once, logins one after the other, pings without end. Nothing of it may stay (tgt and istgt leaked here). */
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { afterEach, expect, it } from "vitest"
import * as pdu from "../../adapters/iscsi/pdu.ts"
import { startIscsi, until } from "../support/iscsi-server.ts"

/** With 500 of them, as a soak has: 10,000 logins and a million pings. */
const seeds = Number(process.env.IMAGELINK_SEEDS ?? 5)
setFlagsFromString("--expose-gc")
const collect = runInNewContext("gc") as () => void
const heap = (): number => {
  collect()
  return process.memoryUsage().heapUsed
}
const MiB = 2 ** 20

let s: Awaited<ReturnType<typeof startIscsi>> | undefined
afterEach(async () => {
  await s?.stop()
  s = undefined
})

it("256 sessions at once are all served, and leave nothing", async () => {
  const server = (s = await startIscsi())
  const clients = await Promise.all(
    Array.from({ length: 256 }, (_, i) => server.connect({ initiator: `iqn.2026-11.test:pc-${i}` })),
  )
  expect(server.disks.leases("client/PC-001/0")).toBe(256)
  await Promise.all(clients.map((c, i) => c.write(i * 4096, Buffer.alloc(4096, i))))
  const read = await Promise.all(clients.map((c, i) => c.read(((i + 1) % 256) * 4096, 4096)))
  for (const [i, bytes] of read.entries()) expect(bytes[0], `session ${i}`).toBe((i + 1) % 256)
  await Promise.all(clients.map((c) => c.logout()))
  await until(() => server.server.connections() === 0, "all are over")
  expect(server.disks.leases("client/PC-001/0")).toBe(0)
})

it(`${seeds * 20} logins leave memory and handles as they were`, async () => {
  const server = (s = await startIscsi())
  const loop = async (times: number) => {
    for (let i = 0; i < times; i++) {
      const client = await server.connect()
      await client.good({ cdb: [0] })
      if (i % 2 === 0) await client.logout()
      else client.destroy()
    }
    await until(() => server.server.connections() === 0, "all are over")
    server.forget()
  }
  await loop(50)
  const [before, handles] = [heap(), process.getActiveResourcesInfo().length]
  await loop(seeds * 20)
  expect(heap() - before).toBeLessThan(4 * MiB)
  expect(process.getActiveResourcesInfo().length).toBeLessThanOrEqual(handles + 2)
}, 600_000)

it(`${seeds * 2000} pings leave memory as it was`, async () => {
  const server = (s = await startIscsi())
  const client = await server.connect()
  let answers = 0
  client.onPdu = ({ opcode }) => {
    if (opcode === pdu.NOP_IN) answers++
    return true
  }
  const ping = async (count: number) => {
    const goal = answers + count
    for (let sent = 0; sent < count; sent += 100) {
      const burst = Array.from({ length: 100 }, () => {
        const b = client.header(pdu.NOP_OUT, pdu.FINAL, client.nextTag(), 0, false)
        b.writeUInt32BE(pdu.NO_TAG, 20)
        return b
      })
      client.raw(Buffer.concat(burst))
      await until(() => answers >= goal - count + sent + 100, "answers came")
    }
  }
  await ping(1000)
  const before = heap()
  await ping(seeds * 2000)
  expect(heap() - before).toBeLessThan(4 * MiB)
}, 600_000)
