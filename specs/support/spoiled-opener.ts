/** What opens images, over storage that answers wrong bytes, or none, for some clusters and says nothing of it. */
import { fail } from "../../core/errors.ts"
import { limits } from "../../core/limits.ts"
import type { ImageOpener } from "../../core/storage/opener.ts"

const CLUSTER = limits.clusterBytes

export interface Spoiled {
  /** Clusters of every image of which one byte is wrong, and those that cannot be read. */
  readonly wrong: Set<number>
  readonly unreadable: Set<number>
  /** Clusters that were asked for, in order. */
  readonly asked: Array<number>
}

export const spoiled = (): Spoiled => ({ wrong: new Set(), unreadable: new Set(), asked: [] })

export const spoiledOpener = (opener: ImageOpener, { wrong, unreadable, asked }: Spoiled): ImageOpener => ({
  ...opener,
  async open(...asking) {
    const opened = await opener.open(...asking)
    const { disk } = opened
    const read: typeof disk.read = async (into, at, offset, length, signal) => {
      await disk.read(into, at, offset, length, signal)
      for (let c = Math.floor(offset / CLUSTER); c * CLUSTER < offset + length; c++) {
        asked.push(c)
        if (unreadable.has(c)) throw fail("IO_ERROR", { offset: c * CLUSTER, length: CLUSTER, why: "a bad sector" })
        const first = Math.max(offset, c * CLUSTER)
        if (wrong.has(c)) into[at + first - offset]! ^= 1
      }
    }
    const { sizeBytes } = opened
    const bound = { sizeBytes, read, extents: disk.extents?.bind(disk), close: () => disk.close() }
    return { ...opened, disk: bound as unknown as typeof disk }
  },
})
