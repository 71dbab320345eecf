/** What a process that serves disks has besides an opened store: the read cache, the opened images, the overlays. */

import { ReadCache } from "../block/cache.ts"
import { MapBudget } from "../block/overlay/budget.ts"
import type { ImagelinkError } from "../errors.ts"
import type { Host } from "../host.ts"
import { catalogueProjection } from "../projections/catalogue.ts"
import type { VolumeFolder } from "../storage/volume.ts"
import type { Boot } from "./boot-recorder.ts"
import { type DiskService, makeDisks } from "./disks.ts"
import { type Drafts, makeDrafts } from "./drafts.ts"
import { loadTable } from "./image-check.ts"
import { type ImageStacks, makeImageStacks } from "./image-stacks.ts"
import { makeOverlayFolders } from "./overlay-folders.ts"
import type { Parts } from "./parts.ts"

export interface Serving {
  readonly disks: DiskService
  readonly stacks: ImageStacks
  readonly drafts: Drafts
}

export interface ServingOptions {
  readonly overlays: VolumeFolder
  readonly host: Host
  readonly cacheBytes: number
  readonly onDamage: (error: ImagelinkError) => void
  readonly onBoot: (boot: Boot) => void
}

/**
 * **Gotchas** The catalogue is the view's own, folded in place by every command, so what is decided is seen by the next session.
 */
export const makeServing = async (
  parts: Parts,
  { overlays, host, cacheBytes, onDamage, onBoot }: ServingOptions,
): Promise<Serving> => {
  await parts.views.state(catalogueProjection)
  const projector = await parts.views.projector(catalogueProjection)
  const stacks = makeImageStacks(
    parts.opener,
    new ReadCache({ bytes: cacheBytes }),
    (ref) => loadTable(parts.sidecars, ref),
    onDamage,
  )
  const folders = makeOverlayFolders(overlays, host, new MapBudget())
  const drafts = makeDrafts(parts.data)
  const catalogue = () => projector.state(catalogueProjection)
  return { stacks, drafts, disks: makeDisks({ catalogue, stacks, folders, drafts, onBoot }) }
}
