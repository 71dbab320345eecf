/** The suites' own runner, which `imagelink plugin check` uses. */
import { describe, expect, it } from "vitest"
import { collect } from "../conformance/support/collect.ts"
import { type Check, register } from "../conformance/support/suite.ts"

const checks: ReadonlyArray<Check<string>> = [
  { name: "holds", run: async () => {} },
  { name: "does not apply", skip: (subject) => `not to ${subject}`, run: async () => {} },
  { name: "turns out not to apply", run: async () => "it has no such part" },
  {
    name: "is broken",
    run: async () => {
      throw new Error("byte 7 is 1")
    },
  },
  { name: "throws no error", run: () => Promise.reject("why") },
]
const hanging: Check<string> = { name: "hangs", run: () => new Promise<never>(() => {}) }

const run = (list: ReadonlyArray<Check<string>>, secondsMax?: number) =>
  collect(
    (runner, say) => register(runner, "a suite", list, "this", say),
    secondsMax === undefined ? {} : { secondsMax },
  )

describe("the suites' own runner", () => {
  it("tells how each check ended, and why", async () => {
    expect(await run(checks)).toEqual([
      { check: "does not apply", result: "skipped", why: "not to this" },
      { check: "holds", result: "passed" },
      { check: "turns out not to apply", result: "skipped", why: "it has no such part" },
      { check: "is broken", result: "failed", why: "byte 7 is 1" },
      { check: "throws no error", result: "failed", why: "why" },
    ])
    expect(await run([])).toEqual([])
  })

  it("gives up a check that hangs, and does not begin the rest, which would meet what it holds", async () => {
    expect(await run([checks[0]!, hanging, checks[3]!], 1)).toEqual([
      { check: "holds", result: "passed" },
      { check: "hangs", result: "failed", why: "did not end within 1 seconds" },
      { check: "is broken", result: "skipped", why: '"hangs" has not ended' },
    ])
  })

  it("leaves no timer behind when nothing hangs", async () => {
    const before = process.getActiveResourcesInfo().filter((kind) => kind === "Timeout").length
    await run(checks, 1000)
    expect(process.getActiveResourcesInfo().filter((kind) => kind === "Timeout").length).toBeLessThanOrEqual(before)
  })
})
