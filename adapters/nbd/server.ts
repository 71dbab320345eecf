/**
 * Serves disks over NBD: a TCP listener whose every connection runs on its own (connection.ts).
 *
 * **Details** Nagle is off ("Protocol phases": both ends SHOULD set TCP_NODELAY) and keep-alive on, so that a client that lost its
 * power is noticed. Connections above the limit are closed at once and reported. Nothing here is process-wide: two servers share nothing.
 */
import { createServer, type Server } from "node:net"
import type { Disks } from "../../core/block/lease.ts"
import { fail } from "../../core/errors.ts"
import { limits } from "../../core/limits.ts"
import { watchListener } from "../../core/runtime/listening.ts"
import { Slabs } from "../../core/slab-output.ts"
import { ReceiveBuffers } from "../socket/receive.ts"
import { Connection, type NbdEvent } from "./connection.ts"
import { type Budget, defaultBudget } from "./session.ts"

export type { NbdEvent } from "./connection.ts"

export interface NbdServerLimits extends Budget {
  readonly connectionsMax: number
  readonly handshakeSeconds: number
  readonly refusalMillis: number
  readonly closeSeconds: number
}

export interface NbdServerInput {
  readonly address: string
  /** 0 for any free one. */
  readonly port: number
  readonly disks: Disks
  readonly onEvent?: (event: NbdEvent) => void
  readonly limits?: Partial<NbdServerLimits>
}

export interface NbdServer {
  readonly address: string
  readonly port: number
  connections(): number
  /** Whether it still hears its peers. */
  listens(): boolean
  /** Takes no more connections, answers ESHUTDOWN for a moment, lets writes in flight end, closes. A second close is the first. */
  close(): Promise<void>
}

const defaults: NbdServerLimits = {
  ...defaultBudget,
  connectionsMax: limits.nbdConnectionsMax,
  handshakeSeconds: limits.nbdHandshakeSecondsMax,
  refusalMillis: limits.nbdRefusalMillis,
  closeSeconds: limits.nbdCloseSecondsMax,
}

/** Listens and serves. @throws PORT_IN_USE LISTEN_FAILED */
export const listenNbd = async (input: NbdServerInput): Promise<NbdServer> => {
  const bounds = { ...defaults, ...input.limits }
  const slabs = new Slabs(limits.nbdSlabBytes, limits.nbdSlabsKeptMax)
  const buffers = new ReceiveBuffers(limits.nbdReceiveBytes)
  const live = new Set<Connection>()
  const emptied: Array<() => void> = []
  let ids = 0

  const server = createServer({
    allowHalfOpen: true,
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: limits.nbdKeepAliveSeconds * 1000,
  })
  server.maxConnections = bounds.connectionsMax
  server.on("connection", (socket) => {
    const connection: Connection = new Connection({
      id: ++ids,
      socket,
      disks: input.disks,
      slabs,
      buffers,
      budget: bounds,
      handshakeSeconds: bounds.handshakeSeconds,
      refusalMillis: bounds.refusalMillis,
      closeSeconds: bounds.closeSeconds,
      report: (event) => input.onEvent?.(event),
      closed: () => {
        live.delete(connection)
        if (live.size === 0) for (const wake of emptied.splice(0)) wake()
      },
    })
    live.add(connection)
  })
  server.on("drop", (data) =>
    input.onEvent?.({
      connection: ++ids,
      peer: data?.remoteAddress ?? "unknown",
      type: "closed",
      why: `more than ${bounds.connectionsMax} connections`,
    }),
  )
  await listening(server, input.address, input.port)
  // An accept that fails (no file descriptors left) concerns that peer alone; the listener goes on.
  const listens = watchListener(server, "connection")

  const bound = server.address()
  if (bound === null || typeof bound === "string") throw new Error("a TCP listener has an address")
  const close = async (): Promise<void> => {
    const stopped = new Promise<void>((resolve) => server.close(() => resolve()))
    for (const connection of live) connection.stop("the server is stopping")
    if (live.size > 0) await new Promise<void>((resolve) => emptied.push(resolve))
    await stopped
  }
  let closing: Promise<void> | undefined
  return {
    address: bound.address,
    port: bound.port,
    connections: () => live.size,
    listens,
    close: () => (closing ??= close()),
  }
}

const listening = (server: Server, address: string, port: number): Promise<void> =>
  new Promise((resolve, reject) => {
    const refused = (e: NodeJS.ErrnoException): void =>
      reject(
        e.code === "EADDRINUSE"
          ? fail("PORT_IN_USE", { protocol: "nbd", address, port }, { underlying: e })
          : fail("LISTEN_FAILED", { protocol: "nbd", address, port, why: e.message }, { underlying: e }),
      )
    server.once("error", refused)
    server.listen({ host: address, port }, () => {
      server.off("error", refused)
      resolve()
    })
  })
