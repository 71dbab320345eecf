/** A base tier that takes its time, as a disk that seeks does, under the images of a serving site. */
import type { Parts } from "../../core/runtime/parts.ts"

/** Answers each read after `millis`, and counts them in `loads`; both may be changed while it serves. */
export const slowBase =
  (base: { loads: number; millis: number }) =>
  (parts: Parts): Partial<Parts> => ({
    opener: {
      ...parts.opener,
      async open(...args) {
        const image = await parts.opener.open(...args)
        const { disk } = image
        const read: typeof disk.read = async (...asked) => {
          base.loads++
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
