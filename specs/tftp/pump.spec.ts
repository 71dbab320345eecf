/** The sockets of transfers beside Node's event loop: what comes while the last transfer ends is somebody's request. */
import { createSocket } from "node:dgram"
import { once } from "node:events"
import { setImmediate as turn } from "node:timers/promises"
import { expect, it } from "vitest"
import { Pump } from "../../adapters/tftp/pump.ts"
import type { DatagramExchange } from "../../core/host.ts"
import { fileDescriptor } from "../../core/runtime/datagram-socket.ts"

const LOOPBACK = 0x7f00_0001

/** An exchange with one datagram for `fd`, which the next call of the system takes once `comes` was called. */
const exchangeWith = (fd: () => number) => {
  let [coming, taken] = [false, false]
  const take = () => {
    taken ||= coming
    coming = false
  }
  const exchange: DatagramExchange = {
    watch: () => true,
    forget: () => {},
    // A number that no socket has.
    open: () => 1_000_000,
    shut: () => {},
    bytesMax: 100,
    memory: Buffer.alloc(100),
    line: () => 0,
    sendLine: () => {},
    flush: take,
    wait() {
      take()
      const count = taken ? 1 : 0
      taken = false
      return count
    },
    fd,
    take: () => true,
    bytes: Buffer.from("request"),
    address: LOOPBACK,
    port: 2000,
    close: () => {},
  }
  return { exchange, comes: () => void (coming = true) }
}

it("a request that comes while the socket of the last transfer closes is taken", async () => {
  const server = createSocket("udp4")
  server.bind(0, "127.0.0.1")
  await once(server, "listening")
  const { exchange, comes } = exchangeWith(() => fileDescriptor(server))
  const pump = new Pump(() => exchange)
  const taken: Array<string> = []
  pump.watch(fileDescriptor(server), (bytes, { address, port }) => taken.push(`${bytes} of ${address}:${port}`))
  const transfer = pump.open("127.0.0.1")
  await new Promise<void>((bound) => transfer.start({ bound, message: () => {}, failed: () => {} }))
  await turn()
  transfer.close()
  // No turn waits for it any more: no transfer runs. But the call by which the socket lets go takes it out of the system.
  comes()
  for (let turns = 0; turns < 100 && taken.length === 0; turns++) await turn()
  expect(taken).toEqual(["request of 127.0.0.1:2000"])
  server.close()
})
