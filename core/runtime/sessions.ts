/**
 * Every disk that somebody has open: by whom, since when, what went through, and how to end it.
 *
 *     protocol ─► Disks.attach ─► meter (counts of this session, latencies of its protocol) ─► the disk
 *
 * **Details** Rates are made of samples that are taken every few seconds, whoever looks: one of now against one that is at least `trafficSampleMillis` and
 * at most twice that old, so that one who looks often sees no other numbers than one who looks once.
 *
 * **Gotchas** One connection over iSCSI has a session here for each of its LUNs, and one over NBD one for each export that it opens.
 */
import type { Disks, Ending, Lease, Peer } from "../block/lease.ts"
import { type Counts, Latencies, meterDevice, newCounts, READ_BYTES, WRITTEN_BYTES } from "../block/meter.ts"

export interface SessionShown {
  readonly protocol: Peer["protocol"]
  readonly address: string
  readonly initiator: string | null
  /** Null for a version of an image, which is nobody's own. */
  readonly slot: number | null
  /** `PC-001 slot 0 over win11@1`. */
  readonly disk: string
  /** UTC milliseconds. */
  readonly since: number
  readonly readBytes: number
  readonly writtenBytes: number
}

/** What the sessions of one client move now. */
export interface ClientTraffic {
  readonly sessions: number
  readonly readBytesPerSecond: number
  readonly writtenBytesPerSecond: number
}

export interface ProtocolTraffic {
  readonly protocol: Peer["protocol"]
  /** Of all sessions since the server started. */
  readonly counts: Counts
  readonly latencies: Latencies
}

export interface Sessions {
  /** The same disks; who opens one is known while it is open. */
  watch(disks: Disks): Disks
  of(clientId: string): ReadonlyArray<SessionShown>
  /** By client id, of those that have a session. */
  traffic(): ReadonlyMap<string, ClientTraffic>
  protocols(): ReadonlyArray<ProtocolTraffic>
  /** Asks every session of a client to end; each of the answers settles when one has. */
  disconnect(clientId: string): ReadonlyArray<Promise<void>>
  /** To be called every `trafficSampleMillis`. */
  sample(): void
}

export interface SessionsOptions {
  /** UTC milliseconds. */
  readonly now: () => number
  /** Milliseconds, from any origin, with fractions, never going back. */
  readonly monotonic: () => number
  /** A request of a client failed. */
  readonly onError: (clientId: string, error: unknown) => void
}

interface Session {
  readonly clientId: string | undefined
  readonly slot: number | undefined
  readonly disk: string
  readonly peer: Peer
  readonly since: number
  readonly counts: Counts
  readonly listeners: Set<(ending: Ending) => void>
  readonly ended: PromiseWithResolvers<void>
}

/** What a client had moved at a moment, over sessions that end meanwhile too. */
interface Moved {
  readonly at: number
  readonly read: number
  readonly written: number
}

interface Protocol {
  readonly latencies: Latencies
  /** Of sessions that have ended. */
  readonly past: Counts
}

interface ClientSessions {
  readonly open: Set<Session>
  read: number
  written: number
  /** The last sample, and the one before it. */
  before: Moved
  last: Moved
}

const add = (to: Counts, from: Counts): void => {
  for (let i = 0; i < to.length; i++) to[i]! += from[i]!
}

export const makeSessions = ({ now, monotonic, onError }: SessionsOptions): Sessions => {
  const open = new Set<Session>()
  const clients = new Map<string, ClientSessions>()
  const protocols = new Map<Peer["protocol"], Protocol>()

  const protocolOf = (name: Peer["protocol"]): Protocol => {
    const known = protocols.get(name) ?? { latencies: new Latencies(), past: newCounts() }
    protocols.set(name, known)
    return known
  }

  const moved = (client: ClientSessions): Moved => {
    let { read, written } = client
    for (const { counts } of client.open) {
      read += counts[READ_BYTES]!
      written += counts[WRITTEN_BYTES]!
    }
    return { at: monotonic(), read, written }
  }

  const enter = (session: Session): void => {
    open.add(session)
    if (session.clientId === undefined) return
    const none = { at: monotonic(), read: 0, written: 0 }
    const client = clients.get(session.clientId) ?? { open: new Set(), read: 0, written: 0, before: none, last: none }
    client.open.add(session)
    clients.set(session.clientId, client)
  }

  const leave = (session: Session): void => {
    if (!open.delete(session)) return
    add(protocolOf(session.peer.protocol).past, session.counts)
    const client = session.clientId === undefined ? undefined : clients.get(session.clientId)
    if (client === undefined) return
    client.open.delete(session)
    client.read += session.counts[READ_BYTES]!
    client.written += session.counts[WRITTEN_BYTES]!
    if (client.open.size === 0) clients.delete(session.clientId!)
  }

  const metered = (lease: Lease, peer: Peer): Lease => {
    const [clientId, slot] = lease.identity?.split("/") ?? []
    const listeners = new Set<(ending: Ending) => void>()
    const counts = newCounts()
    const at = { clientId, slot: slot === undefined ? undefined : Number(slot), disk: lease.description }
    const session: Session = { ...at, peer, since: now(), counts, listeners, ended: Promise.withResolvers() }
    enter(session)
    const { latencies } = protocolOf(peer.protocol)
    const failed = (error: unknown) => (clientId === undefined ? undefined : onError(clientId, error))
    return {
      ...lease,
      device: meterDevice(lease.device, { counts, latencies, now: monotonic, onError: failed }),
      onRevoked(listener) {
        listeners.add(listener)
        const forget = lease.onRevoked(listener)
        return () => {
          listeners.delete(listener)
          forget()
        }
      },
      release() {
        leave(session)
        return lease.release().finally(session.ended.resolve)
      },
    }
  }

  return {
    watch: (disks) => ({
      ...disks,
      attach: async (client, slot, boot, peer) => metered(await disks.attach(client, slot, boot, peer), peer),
      attachImage: async (name, version, peer) => metered(await disks.attachImage(name, version, peer), peer),
    }),
    of: (clientId) => Array.from(clients.get(clientId)?.open ?? [], shown),
    traffic: () => new Map(Array.from(clients, ([id, client]) => [id, trafficOf(client, moved(client))])),
    protocols: () =>
      Array.from(protocols, ([protocol, { latencies, past }]) => {
        const counts = past.slice()
        for (const session of open) if (session.peer.protocol === protocol) add(counts, session.counts)
        return { protocol, counts, latencies }
      }),
    disconnect(clientId) {
      const sessions = [...(clients.get(clientId)?.open ?? [])]
      // A listener may end its session, and with it those of other disks.
      for (const { listeners } of sessions) for (const listener of [...listeners]) listener("disconnected")
      return sessions.map(({ ended }) => ended.promise)
    },
    sample() {
      for (const client of clients.values()) {
        client.before = client.last
        client.last = moved(client)
      }
    },
  }
}

const shown = ({ peer, slot, disk, since, counts }: Session): SessionShown => ({
  ...{ protocol: peer.protocol, address: peer.address, initiator: peer.initiator ?? null, slot: slot ?? null, disk },
  ...{ since, readBytes: counts[READ_BYTES]!, writtenBytes: counts[WRITTEN_BYTES]! },
})

const trafficOf = ({ open, before }: ClientSessions, is: Moved): ClientTraffic => {
  const seconds = (is.at - before.at) / 1000
  const rate = (bytes: number) => (seconds > 0 ? Math.round(bytes / seconds) : 0)
  return {
    sessions: open.size,
    readBytesPerSecond: rate(is.read - before.read),
    writtenBytesPerSecond: rate(is.written - before.written),
  }
}
