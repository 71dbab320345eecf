/**
 * Where overlay generations are kept: `overlays/<client id>/<slot>/g<epoch>/`, one folder a generation.
 *
 * **Details** A new generation is made in `new-g<epoch>/` and renamed, so a folder named `g…` is always whole. The epoch is the log position that
 * the generation was made for. `sweep` removes what is older than the current epoch; a newer one is left alone, because then the log is the one that is behind.
 */
import type { BlockDevice } from "../block/device.ts"
import type { MapBudget } from "../block/overlay/budget.ts"
import { type GenerationPolicy, type OverlayHeader, readHeader } from "../block/overlay/header.ts"
import { createOverlay, openOverlay } from "../block/overlay/open.ts"
import type { Overlay } from "../block/overlay/overlay.ts"
import type { Host } from "../host.ts"
import type { VolumeFolder } from "../storage/volume.ts"

export interface GenerationRef {
  readonly clientId: string
  readonly clientName: string
  readonly slot: number
  readonly epoch: number
}

export interface OverlayFolders {
  /** What an existing generation stands on, or undefined when there is none yet. @throws OVERLAY_DAMAGED */
  header(ref: GenerationRef): Promise<OverlayHeader | undefined>
  /** Opens the generation, or makes it when there is none. */
  open(
    ref: GenerationRef,
    base: BlockDevice,
    on: { imageId: string; version: number; policy: GenerationPolicy },
  ): Promise<Overlay>
  /** Removes generations older than `current` except those in `live`. */
  sweep(clientId: string, slot: number, current: number, live: ReadonlySet<number>): Promise<void>
  /** Takes away the folder of a client that is not there any more, once nothing is left in it. */
  forget(clientId: string): Promise<void>
  /** Every slot that has a folder. */
  slots(): Promise<ReadonlyArray<{ readonly clientId: string; readonly slot: number }>>
}

export const OVERLAYS = "overlays"

/** A generation's folder, relative to the data folder. */
export const generationPath = ({ clientId, slot, epoch }: Pick<GenerationRef, "clientId" | "slot" | "epoch">): string =>
  `${OVERLAYS}/${clientId}/${slot}/${nameOf(epoch)}`

const nameOf = (epoch: number) => `g${epoch}`
const newNameOf = (epoch: number) => `new-g${epoch}`
/** Of a generation, or of one that a crash left half made. */
const epochOf = (name: string) => {
  const [, epoch] = /^(?:new-)?g([1-9]\d*)$/.exec(name) ?? []
  return epoch === undefined ? undefined : Number(epoch)
}

const isSlotName = (name: string) => /^\d{1,2}$/.test(name)

export const makeOverlayFolders = (root: VolumeFolder, host: Host, budget: MapBudget): OverlayFolders => {
  const slotFolder = (clientId: string, slot: number) => root.folder(clientId).folder(String(slot))
  const hostBootId = host.bootId?.()

  return {
    header: (ref) => readHeader(slotFolder(ref.clientId, ref.slot).folder(nameOf(ref.epoch))),

    async open(ref, base, on) {
      const parent = slotFolder(ref.clientId, ref.slot)
      const name = nameOf(ref.epoch)
      const binding = { generation: name, clientId: ref.clientId, slot: ref.slot, ...on }
      const options = { base, binding, client: ref.clientName, hostBootId, budget }
      if (!(await parent.list()).includes(name)) {
        const fresh = newNameOf(ref.epoch)
        await parent.remove(fresh)
        await (await createOverlay({ ...options, folder: parent.folder(fresh) })).close()
        await parent.rename(fresh, name)
      }
      return openOverlay({ ...options, folder: parent.folder(name) })
    },

    async sweep(clientId, slot, current, live) {
      const folder = slotFolder(clientId, slot)
      for (const name of await folder.list()) {
        const epoch = epochOf(name)
        if (epoch !== undefined && epoch < current && !live.has(epoch)) await folder.remove(name)
      }
    },

    async forget(clientId) {
      const client = root.folder(clientId)
      for (const slot of await client.list())
        if (!isSlotName(slot) || (await client.folder(slot).list()).length > 0) return
      await root.remove(clientId)
    },

    async slots() {
      const found: Array<{ clientId: string; slot: number }> = []
      for (const clientId of await root.list())
        for (const slot of await root.folder(clientId).list())
          if (isSlotName(slot)) found.push({ clientId, slot: Number(slot) })
      return found
    },
  }
}
