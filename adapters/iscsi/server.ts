/**
 * Serves clients' disks over iSCSI: a TCP listener (../socket/listener.ts) whose every connection runs on its own (connection.ts). Quiet sessions are pinged, and look now and then
 * at what is linked.
 */
import { randomBytes } from "node:crypto"
import type { Disks } from "../../core/block/lease.ts"
import { limits } from "../../core/limits.ts"
import type { Keeper } from "../scsi/unit.ts"
import { listenForConnections, type SocketHost } from "../socket/listener.ts"
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
  readonly host?: SocketHost | undefined
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
  const report = (event: IscsiEvent) => input.onEvent?.(event)

  const listener = await listenForConnections({
    protocol: "iscsi",
    address: input.address,
    port: input.port,
    connectionsMax: bounds.connectionsMax,
    keepAliveSeconds: limits.iscsiKeepAliveSeconds,
    unansweredSeconds: bounds.unansweredSeconds,
    sendBufferBytes: limits.iscsiSendBufferBytes,
    host: input.host,
    allowHalfOpen: false,
    accept: (id, socket, over) =>
      new Connection({
        ...{ id, socket, portal, refusals, buffers, report },
        loginSeconds: bounds.loginSeconds,
        closeSeconds: bounds.closeSeconds,
        refusalDelaySeconds: bounds.refusalDelaySeconds,
        closed: over,
      }),
    dropped: (connection, peer, why) => report({ connection, peer, type: "closed", why }),
  })
  const { live } = listener
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

  return {
    address: listener.address,
    port: listener.port,
    connections: () => live.size,
    listens: listener.listens,
    close: () => {
      clearInterval(pings)
      clearInterval(looks)
      return listener.close()
    },
  }
}
