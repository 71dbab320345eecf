import { describe, expect, it } from "vitest"
import { fail } from "../../core/errors.ts"
import type { JobContext } from "../../core/jobs.ts"
import { limits } from "../../core/limits.ts"
import { makeJobs } from "../../core/runtime/job-runner.ts"

const runner = () => {
  let ids = 0
  let now = 1000
  return makeJobs(
    () => now++,
    () => `job-${++ids}`,
  )
}
/** Work that goes on until it is stopped. */
const endless = ({ signal }: JobContext): Promise<never> =>
  new Promise((_, reject) => signal.addEventListener("abort", () => reject(new Error("stopped by its signal"))))

describe("a job", () => {
  it("answers what its work answers, and is known as done", async () => {
    const jobs = runner()
    const seen: Array<number> = []
    const work = async ({ progress }: JobContext) => {
      progress({ done: 1, total: 2, unit: "items" })
      progress({ done: 2, total: 2, unit: "items" })
      return "answer"
    }
    expect(await jobs.run("count", work, { onProgress: (p) => seen.push(p.done) })).toBe("answer")
    expect(seen.at(-1)).toBe(2)
    expect(jobs.list()).toEqual([
      { id: "job-1", title: "count", state: "done", startedAt: 1000, progress: { done: 2, total: 2, unit: "items" } },
    ])
  })

  it("reports at most ten times a second, and its end always", async () => {
    let now = 0
    const jobs = makeJobs(
      () => now,
      () => "job",
    )
    const seen: Array<number> = []
    const work = async ({ progress }: JobContext) => {
      for (let done = 0; done <= 1000; done++) {
        now = done
        progress({ done, total: 1000, unit: "items" })
      }
    }
    await jobs.run("count", work, { onProgress: (p) => seen.push(p.done) })
    expect(seen).toEqual([0, 100, 200, 300, 400, 500, 600, 700, 800, 900, 1000])
    expect(jobs.list()[0]!.progress.done).toBe(1000)
  })

  it("that fails, fails with the same error and is known with its code", async () => {
    const jobs = runner()
    const error = fail("IMAGE_FILE_NOT_FOUND", { path: "/a.raw" })
    await expect(jobs.run("a", () => Promise.reject(error))).rejects.toBe(error)
    await expect(jobs.run("b", () => Promise.reject(new Error("odd")))).rejects.toThrow("odd")
    expect(jobs.list().map((job) => [job.state, job.error])).toEqual([
      ["failed", { code: "IMAGE_FILE_NOT_FOUND", message: error.message }],
      ["failed", { code: "INTERNAL_ERROR", message: "Error: odd" }],
    ])
  })

  it("is cancelled by its id, by its caller's signal, and by closing, always as CANCELLED", async () => {
    const jobs = runner()
    const outcome = (job: Promise<unknown>) =>
      job.then(
        () => "done",
        (e) => `${e.code}: ${e.message}`,
      )
    const abort = new AbortController()
    const all = [
      outcome(jobs.run("by id", endless)),
      outcome(jobs.run("by signal", endless, { signal: abort.signal })),
      outcome(jobs.run("by closing", endless)),
    ]
    expect([jobs.cancel("job-1"), jobs.cancel("job-9")]).toEqual([true, false])
    abort.abort()
    await jobs.close()
    expect(await Promise.all(all)).toEqual([
      "CANCELLED: by id was cancelled",
      "CANCELLED: by signal was cancelled",
      "CANCELLED: by closing was cancelled",
    ])
    expect(jobs.list().map((job) => job.state)).toEqual(["cancelled", "cancelled", "cancelled"])
    expect(jobs.cancel("job-1")).toBe(false)
  })

  it("whose caller had already gone is cancelled before it does anything", async () => {
    const jobs = runner()
    const work = async ({ signal }: JobContext) => {
      if (signal.aborted) throw new Error("never mind")
    }
    await expect(jobs.run("late", work, { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: "CANCELLED" })
  })

  it("that throws before its first await is a failed job, not a crash", async () => {
    const jobs = runner()
    const thrown = (): Promise<never> => {
      throw new Error("at once")
    }
    await expect(Promise.resolve().then(() => jobs.run("eager", thrown))).rejects.toThrow("at once")
    expect(jobs.list()[0]!.state).toBe("failed")
    await jobs.close()
  })

  it("is remembered among the last, and a running one is never forgotten", async () => {
    const jobs = runner()
    const running = jobs.run("long", endless).catch(() => {})
    for (let i = 0; i < limits.jobsKeptMax + 10; i++) await jobs.run(`short ${i}`, async () => {})
    expect(jobs.list()).toHaveLength(limits.jobsKeptMax)
    expect(jobs.list()[0]).toMatchObject({ title: "long", state: "running" })
    expect(jobs.list().at(-1)!.title).toBe(`short ${limits.jobsKeptMax + 9}`)
    await jobs.close()
    await running
  })
})
