/**
 * Where overlay generations are kept: `overlays/<client id>/<slot>/g<epoch>[-b<boot>]/`, one folder a generation.
 *
 * **Details** A new generation is made in `new-g…/` and renamed, so a folder named `g…` is always whole. The epoch is the log position that
 * the generation was made for, the boot the number of the client's boot (generations.ts). Beside the slots lies the record of the client's boots.
 */
import type { BlockDevice } from "../block/device.ts"
import type { MapBudget } from "../block/overlay/budget.ts"
import { type GenerationPolicy, type OverlayHeader, readHeader } from "../block/overlay/header.ts"
import { createOverlay, type OverlayOptions, openOverlay } from "../block/overlay/open.ts"
import type { Overlay } from "../block/overlay/overlay.ts"
import type { QuotaUse, SharedSpace } from "../block/overlay/quota.ts"
import type { Host } from "../host.ts"
import type { VolumeFolder } from "../storage/volume.ts"
import { BOOT_RECORD } from "./boot-record.ts"
import { type Generation, generationName, newNameOf, parseGeneration } from "./generations.ts"
import type { OverlayQuota } from "./overlay-quota.ts"

export interface GenerationRef extends Generation {
  readonly clientId: string
  readonly clientName: string
  readonly slot: number
}

export interface GenerationBase {
  readonly imageId: string
  readonly version: number
  readonly policy: GenerationPolicy
}

export interface OverlayFolders {
  /** Whether the generation was made; whether it still opens is another question. */
  exists(ref: GenerationRef): Promise<boolean>
  /** What an existing generation stands on, or undefined when there is none. @throws OVERLAY_DAMAGED */
  header(ref: GenerationRef): Promise<OverlayHeader | undefined>
  /** Makes the generation, empty, in place of whatever is there. What settles survives a power loss as far as its policy promises. */
  make(ref: GenerationRef, base: BlockDevice, on: GenerationBase): Promise<void>
  /** @throws OVERLAY_LOST OVERLAY_DAMAGED OVERLAY_BASE_MISMATCH */
  open(ref: GenerationRef, base: BlockDevice, on: GenerationBase): Promise<Overlay>
  /** Every generation of a slot, also those that are half made. */
  list(clientId: string, slot: number): Promise<ReadonlyArray<Generation>>
  /** Removes generations that have ended, except those whose names are in `keep`. */
  sweep(
    clientId: string,
    slot: number,
    keep: ReadonlySet<string>,
    hasEnded: (generation: Generation) => boolean,
  ): Promise<void>
  /** Takes away the folder of a client that is not there any more, once nothing is left in it. Answers whether it did. */
  forget(clientId: string): Promise<boolean>
  /** Every slot that has a folder, of one client or of all. */
  slots(clientId?: string): Promise<ReadonlyArray<{ readonly clientId: string; readonly slot: number }>>
}

export const OVERLAYS = "overlays"

/** A generation's folder, relative to the data folder. */
export const generationPath = ({ clientId, slot, ...generation }: Omit<GenerationRef, "clientName">): string =>
  `${OVERLAYS}/${clientId}/${slot}/${generationName(generation)}`

const isSlotName = (name: string) => /^\d{1,2}$/.test(name)

export const makeOverlayFolders = (
  root: VolumeFolder,
  host: Host,
  budget: MapBudget,
  shared?: SharedSpace,
  quota?: OverlayQuota,
): OverlayFolders => {
  const slotFolder = (clientId: string, slot: number) => root.folder(clientId).folder(String(slot))
  const hostBootId = host.bootId?.()
  const optionsOf = (ref: GenerationRef, base: BlockDevice, on: GenerationBase): Omit<OverlayOptions, "folder"> => {
    const binding = { generation: generationName(ref), clientId: ref.clientId, slot: ref.slot, ...on }
    const quotaBytes = quota?.bytesFor(ref, on.policy)
    const limited =
      quotaBytes === undefined ? {} : { quotaBytes, onQuotaWarning: (use: QuotaUse) => quota?.warn(ref, use) }
    return { base, binding, client: ref.clientName, hostBootId, budget, shared, ...limited }
  }

  return {
    exists: async (ref) => (await slotFolder(ref.clientId, ref.slot).list()).includes(generationName(ref)),

    header: (ref) => readHeader(slotFolder(ref.clientId, ref.slot).folder(generationName(ref))),

    async make(ref, base, on) {
      const parent = slotFolder(ref.clientId, ref.slot)
      const [name, fresh] = [generationName(ref), newNameOf(ref)]
      await parent.remove(fresh)
      await (await createOverlay({ ...optionsOf(ref, base, on), folder: parent.folder(fresh) })).close()
      await parent.remove(name)
      await parent.rename(fresh, name)
    },

    open: (ref, base, on) =>
      openOverlay({
        ...optionsOf(ref, base, on),
        folder: slotFolder(ref.clientId, ref.slot).folder(generationName(ref)),
      }),

    list: async (clientId, slot) =>
      (await slotFolder(clientId, slot).list()).flatMap((name) => parseGeneration(name) ?? []),

    async sweep(clientId, slot, keep, hasEnded) {
      const folder = slotFolder(clientId, slot)
      for (const name of await folder.list()) {
        const generation = parseGeneration(name)
        if (generation === undefined || keep.has(generationName(generation)) || !hasEnded(generation)) continue
        await folder.remove(name)
      }
    },

    async forget(clientId) {
      const client = root.folder(clientId)
      for (const slot of await client.list()) {
        if (slot === BOOT_RECORD) continue
        if (!isSlotName(slot) || (await client.folder(slot).list()).length > 0) return false
      }
      await root.remove(clientId)
      return true
    },

    async slots(only) {
      const found: Array<{ clientId: string; slot: number }> = []
      for (const clientId of only === undefined ? await root.list() : [only])
        for (const slot of await root.folder(clientId).list())
          if (isSlotName(slot)) found.push({ clientId, slot: Number(slot) })
      return found
    },
  }
}
