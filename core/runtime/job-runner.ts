/** Runs jobs, keeps what is known of them, and stops them. */
import { fail, isImagelinkError } from "../errors.ts"
import type { JobContext, JobInfo, Progress } from "../jobs.ts"
import { limits } from "../limits.ts"

export interface RunOptions {
  /** The command that asks for it: the job goes by the same id, unless that ran one already. */
  readonly commandId?: string
  readonly signal?: AbortSignal
  readonly onProgress?: (p: Progress) => void
}

export interface JobRunner {
  /** Runs the work as a job; settles as it does. */
  run<A>(title: string, work: (context: JobContext) => Promise<A>, options?: RunOptions): Promise<A>
  /** Newest last; finished ones are kept for a while. */
  list(): ReadonlyArray<JobInfo>
  /** False when there is no such running job. */
  cancel(id: string): boolean
  /** Cancels what runs and waits for it. */
  close(): Promise<void>
}

interface Running {
  readonly abort: AbortController
  readonly settled: Promise<unknown>
}

export const makeJobs = (now: () => number, newId: () => string): JobRunner => {
  const infos = new Map<string, JobInfo>()
  const running = new Map<string, Running>()

  const update = (id: string, change: Partial<JobInfo>) => infos.set(id, { ...infos.get(id)!, ...change })
  const thinOut = () => {
    for (const [id, info] of infos) {
      if (infos.size <= limits.jobsKeptMax) return
      if (info.state !== "running") infos.delete(id)
    }
  }

  return {
    run(title, work, options = {}) {
      const { commandId } = options
      const id = commandId === undefined || infos.has(commandId) ? newId() : commandId
      const abort = new AbortController()
      const signal = options.signal ? AbortSignal.any([options.signal, abort.signal]) : abort.signal
      infos.set(id, { id, title, state: "running", startedAt: now(), progress: { done: 0, total: 0, unit: "items" } })
      thinOut()
      let reported = Number.NEGATIVE_INFINITY
      const progress = (p: Progress) => {
        update(id, { progress: p })
        const at = now()
        if (p.done < p.total && at - reported < 1000 / limits.progressReportsPerSecondMax) return
        reported = at
        options.onProgress?.(p)
      }
      const outcome = (async () => work({ signal, progress }))().then(
        (answer) => {
          update(id, { state: "done" })
          return answer
        },
        (e: unknown) => {
          const error = signal.aborted ? fail("CANCELLED", { what: title }) : e
          const said = isImagelinkError(error)
            ? { code: error.code, message: error.message }
            : { code: "INTERNAL_ERROR", message: String(error) }
          update(id, { state: signal.aborted ? "cancelled" : "failed", error: said })
          throw error
        },
      )
      running.set(id, { abort, settled: outcome.catch(() => {}).finally(() => running.delete(id)) })
      return outcome
    },
    list: () => [...infos.values()],
    cancel(id) {
      running.get(id)?.abort.abort()
      return running.has(id)
    },
    async close() {
      for (const job of running.values()) job.abort.abort()
      await Promise.all([...running.values()].map((job) => job.settled))
    },
  }
}
