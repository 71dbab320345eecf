/**
 * How a running server stands: itself, where it listens, and every PC in one row.
 *
 * **Details** A PC that uses its disk is shown with the version that it runs, another one with the version that it would boot; both of slot 0.
 */
import type { Catalogue } from "../domain/catalogue.ts"
import { compareNatural } from "../domain/natural.ts"
import type { LinkRow } from "../projections/link-table.ts"
import type { LiveBoot } from "./live-boot.ts"
import type { OverlayUse } from "./overlay-owner.ts"
import type { ClientTraffic } from "./sessions.ts"

/** What only the process itself knows. */
export interface ServerAbout {
  readonly version: string
  /** UTC milliseconds. */
  readonly since: number
  /** Of the whole process, in RAM. */
  readonly memoryBytes: number
  readonly listeners: ReadonlyArray<{ readonly protocol: string; readonly at: string }>
}

export interface ClientStatus {
  /** Null for a PC that nobody registered. */
  readonly client: string | null
  readonly mac: string
  readonly address: string | null
  readonly state: LiveBoot["state"]
  /** When it came to be in this state, UTC milliseconds; null where nothing was heard of it since the server started. */
  readonly since: number | null
  readonly image: string | null
  readonly version: number | null
  /** What it wrote over its image; null where its disk is not open. */
  readonly writtenBytes: number | null
  /** When it was asked to boot anew, which it has not. */
  readonly rebootRequested: number | null
  /** Disks of it that are open now, each as often as it is. */
  readonly sessions: number
  /** Over the last seconds, all its disks together; null without a session. */
  readonly readBytesPerSecond: number | null
  readonly writtenBytesPerSecond: number | null
  /** How much of what it read of its images was in memory, from 0 to 1; null before it read any. */
  readonly cacheHitShare: number | null
  /** Where its boot stopped. */
  readonly stuck: string | null
  /** The last thing that went wrong with it. */
  readonly error: LiveBoot["error"]
}

export interface Status {
  readonly server: Omit<ServerAbout, "listeners"> & { readonly position: number }
  readonly listeners: ServerAbout["listeners"]
  /** In natural order of their names; those that nobody registered come last. */
  readonly clients: ReadonlyArray<ClientStatus>
}

interface Sources {
  readonly catalogue: Pick<Catalogue, "clients" | "images">
  readonly links: ReadonlyArray<LinkRow>
  readonly live: ReadonlyArray<LiveBoot>
  readonly overlays: ReadonlyArray<OverlayUse>
  /** By client id. */
  readonly traffic: ReadonlyMap<string, ClientTraffic>
  readonly rebootRequested: (clientId: string) => number | undefined
}

const silent = { state: "off", since: null, stuck: null, error: null } as const

const standing = (live: LiveBoot | undefined) =>
  live === undefined ? silent : { state: live.state, since: live.since, stuck: live.stuck, error: live.error }

const idle = { sessions: 0, readBytesPerSecond: null, writtenBytesPerSecond: null, cacheHitShare: null } as const

const moving = (uses: ReadonlyArray<OverlayUse> = [], traffic: ClientTraffic | undefined) => {
  const hits = uses.reduce((sum, { hitBytes }) => sum + hitBytes, 0)
  const all = uses.reduce((sum, { missBytes }) => sum + missBytes, hits)
  return { ...idle, ...traffic, cacheHitShare: all === 0 ? null : hits / all }
}

export const clientStatus = ({
  catalogue,
  links,
  live,
  overlays,
  traffic,
  rebootRequested,
}: Sources): ReadonlyArray<ClientStatus> => {
  const liveByMac = new Map(live.map((one) => [one.mac, one]))
  const linkOf = new Map(links.filter(({ slot }) => slot === 0).map((link) => [link.client, link]))
  // Of several generations the newest is last.
  const overlayOf = new Map(overlays.filter(({ slot }) => slot === 0).map((use) => [use.clientId, use]))
  const usesOf = Map.groupBy(overlays, ({ clientId }) => clientId)
  const registered = Array.from(catalogue.clients.values(), ({ id, name, mac, address }): ClientStatus => {
    const [here, link, use] = [liveByMac.get(mac), linkOf.get(name), overlayOf.get(id)]
    return {
      ...{ client: name, mac, address: here?.address ?? address ?? null, ...standing(here) },
      image: (use && catalogue.images.get(use.imageId)?.name) ?? link?.image ?? null,
      version: use?.version ?? link?.version ?? null,
      writtenBytes: use?.bytes ?? null,
      rebootRequested: rebootRequested(id) ?? null,
      ...moving(usesOf.get(id), traffic.get(id)),
    }
  })
  const strangers = live
    .filter(({ client }) => client === null)
    .map((one): ClientStatus => {
      const { mac, address } = one
      return {
        ...{ client: null, mac, address, ...standing(one), image: null, version: null, writtenBytes: null },
        rebootRequested: null,
        ...idle,
      }
    })
  return [
    ...registered.sort((a, b) => compareNatural(a.client!, b.client!)),
    ...strangers.sort((a, b) => (a.mac < b.mac ? -1 : 1)),
  ]
}
