/**
 * A TCP proxy that makes loopback a link: so long a way, so many bytes a second, and faults on demand.
 *
 * **Details** What the server sends is held back for half a round trip and let through at the link's speed, all connections together; what the client sends is held back for the other
 * half. Each direction is one queue, so nothing overtakes. Faults are asked for with each piece that the server sends, so a seeded source of chance makes them the same each time.
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

/** Runs what it is given when its time has come, in the order it was given. */
class Delay {
  readonly #queue: Array<{ readonly at: number; readonly run: () => void }> = []
  #timer: NodeJS.Timeout | undefined

  push(at: number, run: () => void): void {
    this.#queue.push({ at, run })
    this.#next()
  }
  #next(): void {
    const [first] = this.#queue
    if (this.#timer !== undefined || first === undefined) return
    this.#timer = setTimeout(
      () => {
        this.#timer = undefined
        const now = performance.now()
        while (this.#queue.length > 0 && this.#queue[0]!.at <= now + 0.5) this.#queue.shift()!.run()
        this.#next()
      },
      Math.max(0, first.at - performance.now()),
    )
  }
  stop(): void {
    clearTimeout(this.#timer)
    this.#queue.length = 0
  }
}

const STALL_MILLIS = 30
/** What the link holds at most, as time; a server that sends more is not listened to meanwhile. */
const BACKLOG_MILLIS = 20

export const linkProxy = async (options: LinkOptions): Promise<LinkProxy> => {
  const { roundTripMillis = 0, bytesPerSecond = Number.POSITIVE_INFINITY, fault = () => undefined } = options
  const open = new Set<() => void>()
  const counted = { connections: 0, bytes: 0, roundTrips: 0 }
  /** When the link is free again. */
  let freeAt = 0
  const half = roundTripMillis / 2

  const carry = (client: Socket): void => {
    counted.connections++
    const upstream = connect({ port: options.port, host: "127.0.0.1", noDelay: true, allowHalfOpen: true })
    const [up, down, back] = [new Delay(), new Delay(), new Delay()]
    const drop = () => {
      for (const delay of [up, down, back]) delay.stop()
      client.destroy()
      upstream.destroy()
      open.delete(drop)
    }
    open.add(drop)
    let isAsked = false
    let extra = 0
    const due = () => {
      extra = Math.max(extra, freeAt)
      return extra + half
    }
    client.on("error", drop)
    upstream.on("error", drop)
    client.on("close", drop)
    client.on("data", (piece) => {
      isAsked = true
      up.push(performance.now() + half, () => upstream.write(piece))
    })
    client.on("end", () => up.push(performance.now() + half, () => upstream.end()))
    upstream.on("end", () => down.push(Math.max(performance.now() + half, due()), () => client.end()))
    upstream.on("data", (piece) => {
      if (isAsked) counted.roundTrips++
      isAsked = false
      counted.bytes += piece.length
      const now = performance.now()
      freeAt = Math.max(now, freeAt) + (piece.length / bytesPerSecond) * 1000
      const what = fault()
      if (what === "stall") extra = Math.max(extra, freeAt) + STALL_MILLIS
      if (what === "reset") {
        client.resetAndDestroy()
        drop()
      } else if (what === "cut") {
        down.push(due(), () => client.write(piece.subarray(0, piece.length >> 1), drop))
        upstream.pause()
      } else {
        down.push(due(), () => client.write(piece))
        if (freeAt - now > BACKLOG_MILLIS) {
          upstream.pause()
          back.push(freeAt - BACKLOG_MILLIS / 2, () => upstream.resume())
        }
      }
    })
  }

  const server = createServer({ allowHalfOpen: true, noDelay: true }, carry)
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
      for (const drop of [...open]) drop()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
