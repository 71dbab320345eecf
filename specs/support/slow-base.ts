/** A base tier that takes its time, as a disk that seeks does, under the images of a serving site. */
import type { Parts } from "../../core/runtime/parts.ts"

export interface SlowBase {
  loads: number
  millis: number
  /** Where it reads, before it does; the read waits for the answer. */
  hold?: (offset: number) => Promise<void>
}

/** Answers each read after `millis`, and counts them in `loads`; all may be changed while it serves. */
export const slowBase =
  (base: SlowBase) =>
  (parts: Parts): Partial<Parts> => ({
    opener: {
      ...parts.opener,
      async open(...args) {
        const image = await parts.opener.open(...args)
        const { disk } = image
        const read: typeof disk.read = async (...asked) => {
          base.loads++
          await base.hold?.(asked[2])
          if (base.millis > 0) await new Promise((resolve) => setTimeout(resolve, base.millis))
          return disk.read(...asked)
        }
        const get = (target: typeof disk, key: string | symbol): unknown => {
          const value = key === "read" ? read : Reflect.get(target, key, target)
          return typeof value === "function" ? value.bind(target) : value
        }
        return { ...image, disk: new Proxy(disk, { get }) }
      },
    },
  })
