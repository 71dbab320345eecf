/**
 * Serves clients' disks over iSCSI: a TCP listener whose every connection runs on its own (connection.ts).
 *
 * **Details** Nagle is off. A PC that was switched off says nothing to its target, and its disk is in use until that is noticed: so quiet sessions are pinged, and what its
 * network card does not acknowledge in time ends the connection. The kernel sees to the latter where it can be asked to; elsewhere TCP gives up after a quarter of an
 * hour what was in flight, and keep-alive probes notice in seconds what was not. Connections above the limit are closed at once and reported. Nothing here is process-wide: two servers share nothing.
 */
import { randomBytes } from "node:crypto"
import { createServer, type Server } from "node:net"
import type { Disks } from "../../core/block/lease.ts"
import { fail } from "../../core/errors.ts"
import { limits } from "../../core/limits.ts"
import { watchListener } from "../../core/runtime/listening.ts"
import type { Keeper } from "../scsi/unit.ts"
import { ReceiveBuffers } from "../socket/receive.ts"
import type { Secret } from "./chap.ts"
import { Connection } from "./connection.ts"
import type { ElsewhereOf } from "./elsewhere.ts"
import type { TargetName } from "./names.ts"
import { type BootSecret, type IscsiEvent, Portal } from "./portal.ts"
import { Refusals } from "./refusals.ts"

export type { IscsiEvent } from "./portal.ts"

export interface IscsiServerLimits {
  readonly connectionsMax: number
  readonly loginSeconds: number
  readonly closeSeconds: number
  readonly pingSeconds: number
  readonly lookSeconds: number
  readonly unansweredSeconds: number
  readonly refusalDelaySeconds: number
}

export interface IscsiServerInput {
  readonly address: string
  /** 0 for any free one. */
  readonly port: number
  readonly disks: Disks
  readonly onEvent?: (event: IscsiEvent) => void
  /** The secret a target asks its initiators for; by default none. */
  readonly secretOf?: (target: TargetName) => Secret | undefined
  /** The secret of one boot, which its target takes as well; by default none. */
  readonly bootSecretOf?: (target: TargetName) => BootSecret | undefined
  /** The portal that a client is sent to instead; by default nobody is. */
  readonly elsewhereOf?: ElsewhereOf
  /** Where persistent reservations outlive the server. */
  readonly keeper?: Keeper
  readonly random?: (bytes: number) => Uint8Array
  /** As of core/host.ts. */
  readonly unansweredMax?: ((fd: number, millis: number) => boolean) | undefined
  readonly limits?: Partial<IscsiServerLimits>
}

export interface IscsiServer {
  readonly address: string
  readonly port: number
  connections(): number
  /** Whether it still hears its peers. */
  listens(): boolean
  /** Takes no more connections, asks initiators to log out, lets writes in flight end, closes. A second close is the first. */
  close(): Promise<void>
}

const defaults: IscsiServerLimits = {
  connectionsMax: limits.iscsiConnectionsMax,
  loginSeconds: limits.iscsiLoginSecondsMax,
  closeSeconds: limits.iscsiCloseSecondsMax,
  pingSeconds: limits.iscsiPingSeconds,
  lookSeconds: limits.iscsiLookSeconds,
  unansweredSeconds: limits.iscsiUnansweredSecondsMax,
  refusalDelaySeconds: limits.iscsiRefusalDelaySeconds,
}

/** Listens and serves. @throws PORT_IN_USE LISTEN_FAILED */
export const listenIscsi = async (input: IscsiServerInput): Promise<IscsiServer> => {
  const bounds = { ...defaults, ...input.limits }
  const { disks, keeper, random = randomBytes } = input
  const { secretOf = () => undefined, bootSecretOf = () => undefined, elsewhereOf = () => undefined } = input
  const portal = new Portal({ disks, secretOf, bootSecretOf, elsewhereOf, random, keeper })
  const refusals = new Refusals(() => performance.now())
  const buffers = new ReceiveBuffers(limits.iscsiReceiveBytes)
  const live = new Set<Connection>()
  const emptied: Array<() => void> = []
  let ids = 0

  const server = createServer({
    pauseOnConnect: true,
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: limits.iscsiKeepAliveSeconds * 1000,
  })
  server.maxConnections = bounds.connectionsMax
  server.on("connection", (socket) => {
    const connection: Connection = new Connection({
      id: ++ids,
      socket,
      portal,
      refusals,
      buffers,
      loginSeconds: bounds.loginSeconds,
      closeSeconds: bounds.closeSeconds,
      refusalDelaySeconds: bounds.refusalDelaySeconds,
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
  input.unansweredMax?.(fdOf(server), bounds.unansweredSeconds * 1000)
  const pings = setInterval(() => {
    for (const connection of live) connection.tick()
  }, bounds.pingSeconds * 1000)
  pings.unref()
  let epoch = disks.epoch?.()
  const looks = setInterval(() => {
    const now = disks.epoch?.()
    if (now === epoch) return
    epoch = now
    const listing = portal.listing()
    for (const connection of live) connection.look(listing)
  }, bounds.lookSeconds * 1000)
  looks.unref()

  const bound = server.address()
  if (bound === null || typeof bound === "string") throw new Error("a TCP listener has an address")
  const close = async (): Promise<void> => {
    clearInterval(pings)
    clearInterval(looks)
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

/** An inner part of Node: where it is not found, there is nothing to ask the kernel for. */
const fdOf = (server: Server): number =>
  (server as unknown as { readonly _handle?: { readonly fd?: number } })._handle?.fd ?? -1

const listening = (server: Server, address: string, port: number): Promise<void> =>
  new Promise((resolve, reject) => {
    const refused = (e: NodeJS.ErrnoException): void =>
      reject(
        e.code === "EADDRINUSE"
          ? fail("PORT_IN_USE", { protocol: "iscsi", address, port }, { underlying: e })
          : fail("LISTEN_FAILED", { protocol: "iscsi", address, port, why: e.message }, { underlying: e }),
      )
    server.once("error", refused)
    server.listen({ host: address, port }, () => {
      server.off("error", refused)
      resolve()
    })
  })
