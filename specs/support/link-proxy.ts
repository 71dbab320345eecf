/**
 * A TCP proxy that makes loopback a link: so long a way, so many bytes a second, and faults on demand.
 *
 * **Details** What the server sends is held back for half a round trip and let through at the link's speed, all connections together; what the client sends is held back for the other
 * half. Faults are asked for per connection and per piece, so a seeded source of chance makes them the same each time.
 */
import { type AddressInfo, connect, createServer, type Socket } from "node:net"

export interface LinkOptions {
  readonly port: number
  readonly roundTripMillis?: number
  readonly bytesPerSecond?: number
  /** Looked at for each piece that the server sends. */
  readonly fault?: () => undefined | "reset" | "cut" | "stall"
}

export interface LinkProxy {
  readonly port: number
  readonly connections: number
  /** Bytes from the server, so far. */
  readonly bytes: number
  /** Times that the server began to answer after the client had spoken. */
  readonly roundTrips: number
  close(): Promise<void>
}

export const linkProxy = async (options: LinkOptions): Promise<LinkProxy> => {
  const { roundTripMillis = 0, bytesPerSecond = Number.POSITIVE_INFINITY, fault = () => undefined } = options
  const sockets = new Set<Socket>()
  const timers = new Set<NodeJS.Timeout>()
  const counted = { connections: 0, bytes: 0, roundTrips: 0 }
  /** When the link is free again. */
  let freeAt = 0
  const later = (millis: number, run: () => void) => {
    const timer = setTimeout(() => {
      timers.delete(timer)
      run()
    }, millis)
    timers.add(timer)
  }
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    counted.connections++
    const upstream = connect({ port: options.port, host: "127.0.0.1", noDelay: true, allowHalfOpen: true })
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(socket)
      socket.on("error", () => other.destroy())
      socket.on("close", () => {
        sockets.delete(socket)
        later(roundTripMillis, () => other.destroy())
      })
    }
    let isAsked = false
    client.on("data", (piece) => {
      isAsked = true
      later(roundTripMillis / 2, () => upstream.write(piece))
    })
    client.on("end", () => later(roundTripMillis / 2, () => upstream.end()))
    const send = (piece: Buffer) => {
      counted.bytes += piece.length
      const now = performance.now()
      freeAt = Math.max(now, freeAt) + (piece.length / bytesPerSecond) * 1000
      const wait = roundTripMillis / 2 + freeAt - now
      if (wait < 1 && roundTripMillis === 0) client.write(piece)
      else later(wait, () => client.write(piece))
      // No more is taken from the server than the link has room for.
      if (freeAt - now > 20) {
        upstream.pause()
        later(freeAt - now - 10, () => upstream.resume())
      }
    }
    upstream.on("data", (piece) => {
      if (isAsked) counted.roundTrips++
      isAsked = false
      switch (fault()) {
        case "reset":
          client.resetAndDestroy()
          upstream.destroy()
          return
        case "cut":
          client.write(piece.subarray(0, piece.length >> 1), () => client.destroy())
          upstream.destroy()
          return
        case "stall":
          upstream.pause()
          later(30, () => {
            upstream.resume()
            send(piece)
          })
          return
        default:
          send(piece)
      }
    })
    upstream.on("end", () => later(roundTripMillis / 2 + Math.max(0, freeAt - performance.now()), () => client.end()))
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  return {
    port: (server.address() as AddressInfo).port,
    get connections() {
      return counted.connections
    },
    get bytes() {
      return counted.bytes
    },
    get roundTrips() {
      return counted.roundTrips
    },
    async close() {
      for (const timer of timers) clearTimeout(timer)
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
