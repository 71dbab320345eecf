/** What a process that serves disks has besides an opened store: the read cache, the opened images, the overlays. */

import { ReadCache } from "../block/cache.ts"
import type { LayerMapBudget } from "../block/layers/budget.ts"
import { MapBudget } from "../block/overlay/budget.ts"
import type { ImagelinkError } from "../errors.ts"
import type { Host } from "../host.ts"
import { limits } from "../limits.ts"
import { bootHistory } from "../projections/boot-history.ts"
import { catalogueProjection } from "../projections/catalogue.ts"
import type { VolumeFolder } from "../storage/volume.ts"
import { makeBootIds } from "./boot-ids.ts"
import type { BootWatch } from "./boot-signs.ts"
import { type Boots, makeBootRecords, makeBoots, type StaleBoot } from "./boots.ts"
import { type DiskService, makeDisks } from "./disks.ts"
import { type Drafts, makeDrafts } from "./drafts.ts"
import { type HeatService, makeHeat } from "./heat.ts"
import { makeHeatStore } from "./heat-store.ts"
import { loadTable } from "./image-check.ts"
import { type ImageStacks, makeImageStacks } from "./image-stacks.ts"
import { makeOverlayFolders } from "./overlay-folders.ts"
import { makeOverlayQuota } from "./overlay-quota.ts"
import type { OverlayReserve } from "./overlay-reserve.ts"
import type { Parts } from "./parts.ts"
import { makeRamTier, type RamTier } from "./ram-tier.ts"
import { makeStorageReads, type StorageReads } from "./tier-reads.ts"
import { makeTwins, type Twin, type Twins } from "./twins.ts"
import type { VersionRef } from "./version-ref.ts"
import type { OnDamage } from "./version-sources.ts"

export interface Serving {
  readonly disks: DiskService
  readonly boots: Boots
  readonly twins: Twins
  readonly stacks: ImageStacks
  readonly drafts: Drafts
  readonly ram: RamTier
  readonly heat: HeatService
  /** What memory could not answer. */
  readonly reads: StorageReads
  /** Where memory goes. */
  readonly memory: { readonly cache: ReadCache; readonly overlayMaps: MapBudget; readonly layerMaps: LayerMapBudget }
}

export interface ServingOptions {
  readonly overlays: VolumeFolder
  readonly host: Host
  readonly cacheBytes: number
  /** For images placed in RAM; undefined: a quarter of the memory that is available now. */
  readonly ramBytes?: number | undefined
  readonly onDamage: OnDamage
  /** An image that belongs in RAM is served from its file, and why. */
  readonly onNotInRam?: (error: ImagelinkError) => void
  /** Told of boots and sessions. */
  readonly watch: BootWatch
  /** What boot ids are signed with (core/log/boot-secret.ts). */
  readonly bootSecret: Uint8Array
  /** From a cryptographic source. */
  readonly random: (bytes: number) => Uint8Array
  /** Disk space that is kept for super clients. */
  readonly reserve?: OverlayReserve
  /** What a client may write, where nothing else is said for it; undefined: without a bound. */
  readonly quotaBytes?: () => number | undefined
  readonly onQuota?: (text: string) => void
  readonly onStaleBoot?: (stale: StaleBoot) => void
  readonly onTwin?: (twin: Twin) => void
  /** Calls once, later; the answer takes it back. */
  readonly later?: (run: () => void, millis: number) => () => void
  /** Milliseconds, from any origin, never going back. */
  readonly monotonic?: () => number
  /** What boots read could not be kept, and why. */
  readonly onHeatLost?: (error: ImagelinkError) => void
}

/**
 * **Gotchas** The catalogue is the view's own, folded in place by every command, so what is decided is seen by the next session.
 */
export const makeServing = async (parts: Parts, options: ServingOptions): Promise<Serving> => {
  const {
    reserve,
    overlays,
    host,
    cacheBytes,
    ramBytes = ramShare(host),
    onDamage,
    onNotInRam = () => {},
    watch,
  } = options
  const { later = timer, monotonic = () => performance.now(), onHeatLost = () => {} } = options
  await parts.views.state(catalogueProjection)
  await reserve?.look()
  const projector = await parts.views.projector(catalogueProjection)
  const cache = new ReadCache({ bytes: cacheBytes, ramBytes, now: monotonic })
  const reads = makeStorageReads(monotonic)
  const table = (ref: VersionRef) => loadTable(parts.sidecars, ref)
  const stacks = makeImageStacks(parts.opener, cache, parts.layerMaps, table, onDamage, (ref) => ram.used(ref), reads)
  const drafts = makeDrafts(parts.data)
  const catalogue = () => projector.state(catalogueProjection)
  const { quotaBytes: bytes = () => undefined, onQuota: onWarning = () => {} } = options
  const quota = makeOverlayQuota({ catalogue, bytes, onWarning })
  const overlayMaps = new MapBudget()
  const folders = makeOverlayFolders(overlays, host, overlayMaps, reserve, quota)
  const heat = makeHeat({ store: makeHeatStore(parts.data), now: parts.now, monotonic, later, onProblem: onHeatLost })
  const memoryAvailableBytes = () => host.memoryAvailableBytes?.()
  const ram = makeRamTier({ cache, stacks, catalogue, table, heat, memoryAvailableBytes, jobs: parts.jobs, onNotInRam })
  const { bootSecret, random, onStaleBoot: onStale = () => {}, onTwin = () => {} } = options
  const records = makeBootRecords(overlays)
  const boots = makeBoots({ ids: makeBootIds(bootSecret), records, now: parts.now, random, onStale })
  const twins = makeTwins({ now: parts.now, later, onTwin })
  const isRecorded = (clientId: string, boot: string) => isBootRecorded(parts, clientId, boot)
  const disks = makeDisks({ catalogue, stacks, folders, drafts, boots, heat, twins, isRecorded, watch })
  const close = () => ram.close().then(disks.close).then(heat.close)
  const memory = { cache, overlayMaps, layerMaps: parts.layerMaps }
  return { stacks, drafts, ram, boots, twins, heat, reads, memory, disks: { ...disks, close } }
}

/** A log that cannot be read has nothing recorded in it either. */
const isBootRecorded = async ({ views }: Parts, clientId: string, boot: string): Promise<boolean> => {
  const history = await views.state(bootHistory).catch(() => undefined)
  if (history === undefined) return true
  return history.clients.get(clientId)?.last.some((row) => row.boot === boot) ?? false
}

const timer = (run: () => void, millis: number) => {
  const waiting = setTimeout(run, millis)
  return () => clearTimeout(waiting)
}

const ramShare = ({ memoryAvailableBytes }: Host): number => {
  const available = memoryAvailableBytes?.()
  return available === undefined ? limits.ramBytesDefault : available / 4
}
