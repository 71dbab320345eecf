/**
 * A proxy for TFTP that loses packets: run inside a namespace, beside the servers.
 *
 *     node lossy-tftp.ts LOSS SEED LISTEN=SERVER…        addresses; both on port 69
 *
 * **Details** Each client has two sockets: one that its server sees, and one with a port of its own that it sees, as it would see the server's. What is lost is
 * drawn for each packet in either direction, from one seed for each server, so all lose alike.
 */
import { createSocket, type Socket } from "node:dgram"
import { random } from "../../support/random.ts"

const [loss, seed, ...pairs] = process.argv.slice(2)
const idleMillis = 90_000
const lookup = ((address: string, _: unknown, found: (e: null, a: string, f: number) => void) =>
  found(null, address, 4)) as never

const carry = (listen: string, server: string): void => {
  const draw = random(Number(seed))
  const isLost = () => draw.chance(Number(loss))
  const front = createSocket({ type: "udp4", lookup })
  const clients = new Map<string, (bytes: Buffer) => void>()

  const begin = (key: string, port: number, address: string): ((bytes: Buffer) => void) => {
    const [up, down] = [createSocket({ type: "udp4", lookup }), createSocket({ type: "udp4", lookup })]
    let at = 69
    const end = () => {
      clients.delete(key)
      for (const socket of [up, down]) socket.close()
    }
    let idle = setTimeout(end, idleMillis)
    const send = (socket: Socket, bytes: Buffer, to: number, host: string) => {
      idle.refresh()
      if (!isLost()) socket.send(bytes, to, host, () => {})
    }
    up.on("message", (bytes, from) => {
      at = from.port
      send(down, bytes, port, address)
    })
    down.on("message", (bytes) => send(up, bytes, at, server))
    down.bind(0, listen)
    up.bind(0, listen)
    idle = idle.unref()
    return (bytes) => send(up, bytes, 69, server)
  }

  front.on("message", (bytes, from) => {
    const key = `${from.address}:${from.port}`
    const forward = clients.get(key) ?? begin(key, from.port, from.address)
    clients.set(key, forward)
    forward(bytes)
  })
  front.bind(69, listen)
}

for (const pair of pairs) {
  const [listen = "", server = ""] = pair.split("=")
  carry(listen, server)
}
