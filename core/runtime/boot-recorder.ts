/**
 * Records boots in groups: a hundred PCs that are switched on together come to a few commands, and none of them waits.
 *
 * **Details** A boot is queued and recorded a moment later. While the log cannot take it (read-only, full disk) the queue holds on to it and
 * tries again with the next one; what does not fit any more is dropped, and that is told once.
 */
import type { EventData } from "../domain/events.ts"
import { limits } from "../limits.ts"

export type Boot = EventData<"ClientBooted">

export interface BootRecorder {
  record(boot: Boot): void
  /** Records what is waiting, once. */
  close(): Promise<void>
}

export interface BootRecorderOptions {
  readonly append: (boots: ReadonlyArray<Boot>) => Promise<unknown>
  /** Calls back after some time, unless it is called off. */
  readonly later: (run: () => void, millis: number) => () => void
  readonly onProblem: (text: string) => void
}

export const makeBootRecorder = ({ append, later, onProblem }: BootRecorderOptions): BootRecorder => {
  const waiting: Array<Boot> = []
  let callOff: (() => void) | undefined
  let recording: Promise<void> | undefined
  let dropped = 0

  const recordAll = async (): Promise<void> => {
    while (waiting.length > 0) {
      const group = waiting.slice(0, limits.bootsRecordedMax)
      try {
        await append(group)
      } catch (e) {
        onProblem(`${waiting.length} boots are not recorded yet: ${e instanceof Error ? e.message : String(e)}`)
        return
      }
      waiting.splice(0, group.length)
    }
  }
  const run = (): Promise<void> => {
    callOff?.()
    callOff = undefined
    recording ??= recordAll().finally(() => {
      recording = undefined
    })
    return recording
  }

  return {
    record(boot) {
      // Those at the front may be on their way into the log.
      if (waiting.length >= limits.bootsWaitingMax) {
        if (dropped++ === 0) onProblem(`boots are not recorded any more: ${waiting.length} are waiting for the log`)
        return
      }
      waiting.push(boot)
      callOff ??= later(() => void run(), limits.bootsRecordMillis)
    },
    async close() {
      await recording
      await run()
    },
  }
}
