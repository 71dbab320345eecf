/**
 * Merges long chains of layers in the background, while the server serves: so a disk of many versions is read like one of few.
 *
 * **Details** Looked at now and then: the current version of every image, and those that disks stand on. One that is read over more than so many layers is
 * flattened, once its first check has recorded what its bytes are; one at a time, and at a bounded rate. Flattening it is nothing that an operator could not
 * have asked for (operations/flatten.ts). What could not be merged is told once, and tried again at the next start.
 */
import { setTimeout as sleep } from "node:timers/promises"
import type { Catalogue, ImageEntry } from "../domain/catalogue.ts"
import { isImagelinkError } from "../errors.ts"
import { limits } from "../limits.ts"
import type { Actor } from "../log/event-log.ts"
import { catalogueProjection } from "../projections/catalogue.ts"
import { makeChange } from "./operations/change.ts"
import { flatten } from "./operations/flatten.ts"
import type { Parts } from "./parts.ts"
import { versionRef } from "./version-ref.ts"

export interface MergingOptions {
  readonly actor: Actor
  /** Layers that a version may be read over before they are merged; 0 merges none. */
  readonly layersMax: number
  readonly report: (level: "info" | "error", text: string) => void
  readonly lookMillis?: number
  readonly bytesPerSecond?: number
}

export interface Merging {
  start(): void
  /** Ends what is being merged, without a trace, and settles when it has ended. */
  close(): Promise<void>
}

export const makeMerging = (parts: Parts, options: MergingOptions): Merging => {
  const { actor, layersMax, report, lookMillis = limits.mergeLookMillis } = options
  const change = makeChange(parts)
  const stop = new AbortController()
  const given = new Set<string>()
  let running: Promise<void> = Promise.resolve()

  const mergeOne = async ({ image, number, layers }: Candidate): Promise<void> => {
    const what = `${image.name}@${number}`
    const pace = makePace(options.bytesPerSecond ?? limits.mergeBytesPerSecond, parts.now)
    const means = { pace, spaceShare: limits.mergeSpaceShareMax }
    try {
      const { signal } = stop
      await flatten(parts, change, { name: image.name, version: number }, { actor, signal }, means)
      report("info", `merged the ${layers} layers of ${what} into one file`)
    } catch (e) {
      if (stop.signal.aborted || (isImagelinkError(e) && passing.has(e.code))) return
      given.add(keyOf(image, number))
      report("error", `${what} was not flattened: ${isImagelinkError(e) ? `${e.message} [${e.code}]` : String(e)}`)
    }
  }

  const run = async (): Promise<void> => {
    while (!stop.signal.aborted) {
      const catalogue = await parts.views.state(catalogueProjection)
      const used = (imageId: string) => parts.serving?.stacks.usedVersions(imageId) ?? []
      const next = candidates(catalogue, used, layersMax).find(({ image, number }) => !given.has(keyOf(image, number)))
      if (next !== undefined) await mergeOne(next)
      await sleep(lookMillis, undefined, { signal: stop.signal }).catch(() => {})
    }
  }

  return {
    start() {
      if (layersMax > 0) running = run().catch((e: unknown) => report("error", `merging layers ended: ${String(e)}`))
    },
    async close() {
      stop.abort()
      await running
    },
  }
}

/** Somebody else changed it meanwhile, or cancelled it: it is looked at again. */
const passing: ReadonlySet<string> = new Set([
  "CANCELLED",
  "CLOSED",
  "FLATTEN_STALE",
  "FLATTEN_NOTHING",
  "IMAGE_NOT_FOUND",
  "IMAGE_VERSION_RETIRED",
])

const keyOf = ({ id }: ImageEntry, number: number): string => `${id}@${number}`

interface Candidate {
  readonly image: ImageEntry
  readonly number: number
  readonly layers: number
}

/** Versions that are read over more layers than that, those of the longest chains first. */
export const candidates = (
  catalogue: Catalogue,
  used: (imageId: string) => ReadonlyArray<number>,
  layersMax: number,
): ReadonlyArray<Candidate> => {
  const found: Array<Candidate> = []
  for (const image of catalogue.images.values()) {
    for (const number of new Set([image.current, ...used(image.id)])) {
      const entry = image.versions[number - 1]
      if (entry?.check?.result !== "verified" || entry.retired) continue
      const layers = versionRef(catalogue, image.id, number).below.length
      if (layers > layersMax) found.push({ image, number, layers })
    }
  }
  return found.sort((a, b) => b.layers - a.layers)
}

/** Lets no more bytes through in a second, by and large. */
const makePace = (bytesPerSecond: number, now: () => number) => {
  let due = 0
  return async (bytes: number, signal: AbortSignal): Promise<void> => {
    due = Math.max(due, now()) + (bytes * 1000) / bytesPerSecond
    const wait = due - now()
    if (wait > limits.mergePauseMillisMin) await sleep(wait, undefined, { signal }).catch(() => {})
  }
}
