/**
 * Records the bad clusters that reads meet, each once, and holds no read up for it.
 *
 * **Details** What reads meet is gathered for a moment and becomes one command for each version; the decider drops what is known already, so
 * a cluster that is met again after a restart is not recorded again. While the log takes nothing it waits, bounded, and is tried again. Of one version no more
 * clusters wait than one event lists.
 */
import { isImagelinkError } from "../errors.ts"
import { limits } from "../limits.ts"

export interface Damage {
  readonly imageId: string
  readonly version: number
  readonly clusters: ReadonlyArray<number>
}

export interface DamageRecorder {
  record(imageId: string, version: number, cluster: number): void
  /** Records what is waiting, once. */
  close(): Promise<void>
}

export interface DamageRecorderOptions {
  readonly append: (damage: Damage) => Promise<unknown>
  /** Calls back after some time, unless it is called off. */
  readonly later: (run: () => void, millis: number) => () => void
  readonly onProblem: (text: string) => void
}

interface Waiting {
  readonly imageId: string
  readonly version: number
  readonly clusters: Set<number>
}

export const makeDamageRecorder = ({ append, later, onProblem }: DamageRecorderOptions): DamageRecorder => {
  const waiting = new Map<string, Waiting>()
  let callOff: (() => void) | undefined
  let recording: Promise<void> | undefined
  let closed = false

  const put = ({ imageId, version, clusters }: Damage): void => {
    const key = `${imageId}@${version}`
    const known = waiting.get(key)
    if (known === undefined && waiting.size >= limits.damageVersionsWaitingMax) return
    const all = known?.clusters ?? new Set()
    for (const cluster of clusters) if (all.size < limits.checkClustersListedMax) all.add(cluster)
    waiting.set(key, { imageId, version, clusters: all })
  }

  /** Answers whether the log took everything. */
  const recordAll = async (): Promise<boolean> => {
    let isTaken = true
    for (const [key, { clusters, ...of }] of [...waiting]) {
      waiting.delete(key)
      const damage = { ...of, clusters: [...clusters].sort((a, b) => a - b) }
      try {
        await append(damage)
      } catch (e) {
        if (isGone(e)) continue
        onProblem(`bad clusters are not recorded yet: ${e instanceof Error ? e.message : String(e)}`)
        put(damage)
        isTaken = false
      }
    }
    return isTaken
  }
  const run = async (): Promise<void> => {
    callOff?.()
    callOff = undefined
    recording ??= recordAll()
      .then((isTaken) => {
        if (waiting.size > 0) plan(isTaken ? limits.damageRecordMillis : limits.damageRetryMillis)
      })
      .finally(() => {
        recording = undefined
      })
    await recording
  }
  const plan = (millis: number): void => {
    if (!closed) callOff ??= later(() => void run(), millis)
  }

  return {
    record(imageId, version, cluster) {
      put({ imageId, version, clusters: [cluster] })
      if (recording === undefined) plan(limits.damageRecordMillis)
    },
    async close() {
      closed = true
      await recording
      await run()
    },
  }
}

/** Its image or version was removed meanwhile. */
const isGone = (e: unknown): boolean =>
  isImagelinkError(e) && ["IMAGE_NOT_FOUND", "IMAGE_VERSION_NOT_FOUND", "IMAGE_VERSION_RETIRED"].includes(e.code)
