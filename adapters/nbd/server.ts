/**
 * Serves disks over NBD: a TCP listener (../socket/listener.ts) whose every connection runs on its own (connection.ts). "Protocol phases": both ends SHOULD set TCP_NODELAY.
 */
import type { Disks } from "../../core/block/lease.ts"
import { limits } from "../../core/limits.ts"
import { Slabs } from "../../core/slab-output.ts"
import { listenForConnections, type SocketHost } from "../socket/listener.ts"
import { ReceiveBuffers } from "../socket/receive.ts"
import { Connection, type NbdEvent } from "./connection.ts"
import { type Budget, defaultBudget } from "./session.ts"

export type { NbdEvent } from "./connection.ts"

export interface NbdServerLimits extends Budget {
  readonly connectionsMax: number
  readonly handshakeSeconds: number
  readonly refusalMillis: number
  readonly closeSeconds: number
  readonly unansweredSeconds: number
}

export interface NbdServerInput {
  readonly address: string
  /** 0 for any free one. */
  readonly port: number
  readonly disks: Disks
  readonly onEvent?: (event: NbdEvent) => void
  readonly host?: SocketHost | undefined
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
  unansweredSeconds: limits.nbdUnansweredSecondsMax,
}

/** Listens and serves. @throws PORT_IN_USE LISTEN_FAILED */
export const listenNbd = async (input: NbdServerInput): Promise<NbdServer> => {
  const bounds = { ...defaults, ...input.limits }
  const { address, port, disks, host } = input
  const slabs = new Slabs(limits.nbdSlabBytes, limits.nbdSlabsKeptMax)
  const buffers = new ReceiveBuffers(limits.nbdReceiveBytes)
  const report = (event: NbdEvent) => input.onEvent?.(event)

  const listener = await listenForConnections({
    protocol: "nbd",
    ...{ address, port, host },
    connectionsMax: bounds.connectionsMax,
    keepAliveSeconds: limits.nbdKeepAliveSeconds,
    unansweredSeconds: bounds.unansweredSeconds,
    allowHalfOpen: true,
    accept: (id, socket, over) =>
      new Connection({
        ...{ id, socket, disks, slabs, buffers, report },
        budget: bounds,
        handshakeSeconds: bounds.handshakeSeconds,
        refusalMillis: bounds.refusalMillis,
        closeSeconds: bounds.closeSeconds,
        closed: over,
      }),
    dropped: (connection, peer, why) => report({ connection, peer, type: "closed", why }),
  })
  return {
    address: listener.address,
    port: listener.port,
    connections: () => listener.live.size,
    listens: listener.listens,
    close: () => listener.close(),
  }
}
