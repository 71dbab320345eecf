/**
 * The disks of created images, open while somebody writes to them: `drafts/<image id>.raw`.
 *
 * **Details** Sealing waits for nobody: it is refused while a session has the draft, because what the peer still holds back would be missing.
 */
import type { BlockDevice } from "../block/device.ts"
import { openDraft } from "../block/draft.ts"
import { guardDevice } from "../block/guard.ts"
import type { Lease } from "../block/lease.ts"
import { fail } from "../errors.ts"
import type { VolumeFolder } from "../storage/volume.ts"

export interface Drafts {
  attach(image: { readonly id: string; readonly name: string }): Promise<Lease>
  /** Keeps new sessions out until the answer is called. @throws IMAGE_BUSY while somebody writes to it */
  hold(image: { readonly id: string; readonly name: string }): () => void
  close(): Promise<void>
}

const FOLDER = "drafts"
const nameOf = (imageId: string) => `${imageId}.raw`
export const draftFile = (imageId: string): string => `${FOLDER}/${nameOf(imageId)}`

/** The file of an image that the log has removed, sealed or not; one that was added as it is has none. */
export const removeDraft = (data: VolumeFolder, imageId: string): Promise<void> =>
  data.folder(FOLDER).remove(nameOf(imageId))

interface Open {
  readonly device: Promise<BlockDevice>
  sessions: number
}

export const makeDrafts = (data: VolumeFolder): Drafts => {
  const folder = data.folder(FOLDER)
  const open = new Map<string, Open>()
  const held = new Set<string>()
  const busy = ({ name }: { readonly name: string }, sessions: number) => fail("IMAGE_BUSY", { image: name, sessions })

  return {
    async attach(image) {
      const { id, name } = image
      if (held.has(id)) throw busy(image, 0)
      const draft = open.get(id) ?? {
        device: folder.open(nameOf(id)).then((volume) => openDraft(`draft ${id}`, volume)),
        sessions: 0,
      }
      open.set(id, draft)
      draft.sessions++
      let released = false
      const release = async () => {
        if (released) return
        released = true
        draft.sessions--
        if (draft.sessions > 0) return
        open.delete(id)
        await (await draft.device).close()
      }
      try {
        const device = guardDevice(await draft.device)
        return { device, description: `${name}, to be written and sealed`, onRevoked: () => () => {}, release }
      } catch (e) {
        draft.sessions--
        if (open.get(id) === draft) open.delete(id)
        throw e
      }
    },

    hold(image) {
      const sessions = open.get(image.id)?.sessions ?? 0
      if (sessions > 0 || held.has(image.id)) throw busy(image, sessions)
      held.add(image.id)
      return () => void held.delete(image.id)
    },

    async close() {
      for (const { device } of [...open.values()]) await (await device.catch(() => undefined))?.close()
      open.clear()
    },
  }
}
