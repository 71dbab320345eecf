/**
 * A TCP listener for disks: it counts and bounds its connections, notices those whose peer has gone, and closes when all of them are over.
 *
 * **Details** Nagle is off: a reply leaves when it is made. A PC that was switched off says nothing to its server, and its disk is in use until that is noticed: keep-alive
 * probes notice in seconds where nothing is in flight; what its network card does not acknowledge in time ends the connection where the kernel can be asked to
 * see to it (`unansweredMax` of core/host.ts), elsewhere TCP gives up after a quarter of an hour. Connections above the limit are closed at once and
 * told. Nothing here is process-wide: two listeners share nothing.
 */
import { createServer, type Server, type Socket } from "node:net"
import { fail } from "../../core/errors.ts"
import type { Host } from "../../core/host.ts"
import { watchListener } from "../../core/runtime/listening.ts"

/** What is asked of the system, of core/host.ts. */
export type SocketHost = Pick<Host, "unansweredMax" | "sendBufferMax">

/** A connection, as its listener sees it. */
export interface Stoppable {
  /** Ends it in the protocol's own way, and in bounded time. */
  stop(why: string): void
}

export interface ListenerInput<C extends Stoppable> {
  /** For messages. */
  readonly protocol: "iscsi" | "nbd"
  readonly address: string
  /** 0 for any free one. */
  readonly port: number
  readonly connectionsMax: number
  readonly keepAliveSeconds: number
  /** How long what was sent may be unacknowledged. */
  readonly unansweredSeconds: number
  /** How much of what was sent the operating system holds; by default, as it chooses. */
  readonly sendBufferBytes?: number
  readonly host?: SocketHost | undefined
  /** A peer that sends no more may still be answered. */
  readonly allowHalfOpen: boolean
  /** Begins a connection; `over` is called once, when it has ended and let go of everything. */
  readonly accept: (id: number, socket: Socket, over: () => void) => C
  /** A peer was turned away. */
  readonly dropped: (id: number, peer: string, why: string) => void
}

export interface Listener<C extends Stoppable> {
  readonly address: string
  readonly port: number
  readonly live: ReadonlySet<C>
  /** Whether it hears peers now. */
  readonly listens: () => boolean
  /** Takes no more connections, stops those there are, and settles when they are over. A second close is the first. */
  close(): Promise<void>
}

/** @throws PORT_IN_USE LISTEN_FAILED */
export const listenForConnections = async <C extends Stoppable>(input: ListenerInput<C>): Promise<Listener<C>> => {
  const { allowHalfOpen, connectionsMax, keepAliveSeconds } = input
  const live = new Set<C>()
  const emptied: Array<() => void> = []
  let ids = 0

  const server = createServer({
    allowHalfOpen,
    // Until its connection has taken the socket over.
    pauseOnConnect: true,
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: keepAliveSeconds * 1000,
  })
  server.maxConnections = connectionsMax
  server.on("connection", (socket) => {
    const connection: C = input.accept(++ids, socket, () => {
      live.delete(connection)
      if (live.size === 0) for (const wake of emptied.splice(0)) wake()
    })
    live.add(connection)
  })
  server.on("drop", (data) =>
    input.dropped(++ids, data?.remoteAddress ?? "unknown", `more than ${connectionsMax} connections`),
  )
  await listening(server, input)
  // An accept that fails (no file descriptors left) concerns that peer alone; the listener goes on.
  const listens = watchListener(server, "connection")
  const fd = fdOf(server)
  input.host?.unansweredMax?.(fd, input.unansweredSeconds * 1000)
  if (input.sendBufferBytes !== undefined) input.host?.sendBufferMax?.(fd, input.sendBufferBytes)

  const bound = server.address()
  if (bound === null || typeof bound === "string") throw new Error("a TCP listener has an address")
  const close = async (): Promise<void> => {
    const stopped = new Promise<void>((resolve) => server.close(() => resolve()))
    for (const connection of live) connection.stop("the server is stopping")
    if (live.size > 0) await new Promise<void>((resolve) => emptied.push(resolve))
    await stopped
  }
  let closing: Promise<void> | undefined
  return { address: bound.address, port: bound.port, live, listens, close: () => (closing ??= close()) }
}

/** An inner part of Node: where it is not found, there is nothing to ask the kernel for. */
const fdOf = (server: Server): number =>
  (server as unknown as { readonly _handle?: { readonly fd?: number } })._handle?.fd ?? -1

const listening = (
  server: Server,
  { protocol, address, port }: { readonly protocol: string; readonly address: string; readonly port: number },
): Promise<void> =>
  new Promise((resolve, reject) => {
    const refused = (e: NodeJS.ErrnoException): void =>
      reject(
        e.code === "EADDRINUSE"
          ? fail("PORT_IN_USE", { protocol, address, port }, { underlying: e })
          : fail("LISTEN_FAILED", { protocol, address, port, why: e.message }, { underlying: e }),
      )
    server.once("error", refused)
    server.listen({ host: address, port }, () => {
      server.off("error", refused)
      resolve()
    })
  })
