/**
 * Keeps the published log up with the events while a server runs: a checkpoint within a second of an append, and one at the stop.
 *
 * **Details** It looks at the head now and then instead of being told of appends, so that it can cost an append nothing. What goes wrong
 * is reported once and tried again later; the log goes on.
 */
import { type ImagelinkError, isImagelinkError } from "../../errors.ts"
import { limits } from "../../limits.ts"
import type { Publisher } from "./publisher.ts"

export interface Follower {
  /** Publishes what is there and stops. */
  close(): Promise<void>
}

/** Looks that are left out after a failure. */
const looksAfterFailure = 60

export const followLog = (publisher: Publisher, onError: (e: ImagelinkError) => void): Follower => {
  const { log } = publisher.options
  let size = 0
  let pause = 0
  let said = ""
  let running: Promise<void> | undefined

  const publish = async (): Promise<void> => {
    try {
      size = (await publisher.publish()).size
      said = ""
    } catch (e) {
      if (!isImagelinkError(e)) throw e
      pause = looksAfterFailure
      if (said === e.message) return
      said = e.message
      onError(e)
    }
  }
  const look = () => {
    if (running !== undefined || log.head() === size || pause-- > 0) return
    pause = 0
    running = publish().finally(() => {
      running = undefined
    })
  }
  const timer = setInterval(look, limits.checkpointLookMillis).unref()

  return {
    async close() {
      clearInterval(timer)
      await running
      if (log.head() !== size) await publish()
    },
  }
}
