/**
 * Where heat is kept: `heat/<image id>.heat` in the data folder, one file an image, replaced whole.
 *
 * **Details** Changes of one image wait for each other. A file that cannot be read is an error for whoever asks, and is replaced by the next
 * recording: what it taught can be learnt again.
 */
import { type Heat, noHeat } from "../block/heat/heat.ts"
import { decodeHeat, encodeHeat } from "../block/heat/heat-file.ts"
import { fail, isImagelinkError } from "../errors.ts"
import type { VolumeFolder } from "../storage/volume.ts"

export interface HeatStore {
  /** None for an image that was never recorded. @throws HEAT_DAMAGED */
  load(imageId: string, imageName: string): Promise<Heat>
  /** Settles when the changed heat is on disk. */
  change(imageId: string, imageName: string, change: (heat: Heat) => Heat): Promise<Heat>
  /** The image is gone. */
  remove(imageId: string): Promise<void>
  /** Removes what belongs to no image. */
  sweep(imageIds: ReadonlySet<string>): Promise<void>
}

export const HEAT = "heat"
export const heatName = (imageId: string): string => `${imageId}.heat`

export const makeHeatStore = (data: VolumeFolder): HeatStore => {
  const folder = data.folder(HEAT)
  const changing = new Map<string, Promise<unknown>>()

  const load = async (imageId: string, image: string): Promise<Heat> => {
    const bytes = await folder.readFile(heatName(imageId))
    if (bytes === undefined) return noHeat(imageId)
    const damaged = (why: string) => fail("HEAT_DAMAGED", { image, file: `${folder.path}/${heatName(imageId)}`, why })
    const decoded = decodeHeat(bytes)
    if (!decoded.ok) throw damaged(decoded.why)
    if (decoded.heat.imageId !== imageId) throw damaged(`it is of the image with the id ${decoded.heat.imageId}`)
    return decoded.heat
  }

  const exclusive = <A>(imageId: string, work: () => Promise<A>): Promise<A> => {
    const next = (changing.get(imageId) ?? Promise.resolve()).then(work, work)
    changing.set(imageId, next)
    const done = () => {
      if (changing.get(imageId) === next) changing.delete(imageId)
    }
    next.then(done, done)
    return next
  }

  const orNone = (imageId: string) => (e: unknown) => {
    if (isImagelinkError(e) && e.code === "HEAT_DAMAGED") return noHeat(imageId)
    throw e
  }

  return {
    load,
    change: (imageId, imageName, change) =>
      exclusive(imageId, async () => {
        const heat = change(await load(imageId, imageName).catch(orNone(imageId)))
        await folder.replaceFile(heatName(imageId), encodeHeat(heat))
        return heat
      }),
    remove: (imageId) => exclusive(imageId, () => folder.remove(heatName(imageId))),
    async sweep(imageIds) {
      for (const name of await folder.list()) {
        const [, id] = /^(.{36})\.heat$/.exec(name) ?? []
        if (id !== undefined && !imageIds.has(id)) await folder.remove(name)
      }
    },
  }
}
