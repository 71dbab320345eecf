import { describe, expect, it } from "vitest"
import { limits } from "../../core/limits.ts"
import { type Boot, makeBootRecorder } from "../../core/runtime/boot-recorder.ts"
import { boot } from "../support/versions.ts"

/** A recorder whose time passes when it is told to. */
const recorder = (append: (boots: ReadonlyArray<Boot>) => Promise<unknown>) => {
  const due: Array<() => void> = []
  const problems: Array<string> = []
  const later = (run: () => void) => {
    due.push(run)
    return () => void due.splice(0)
  }
  const made = makeBootRecorder({ append, later, onProblem: (text) => void problems.push(text) })
  const pass = async () => {
    for (const run of due.splice(0)) run()
    await new Promise((resolve) => setImmediate(resolve))
  }
  return { ...made, pass, problems, due }
}

describe("boots", () => {
  it("that come together are recorded together", async () => {
    const groups: Array<number> = []
    const r = recorder(async (boots) => groups.push(boots.length))
    for (let n = 1; n <= 100; n++) r.record(boot(n))
    expect([groups, r.due.length]).toEqual([[], 1])
    await r.pass()
    expect(groups).toEqual([100])
    r.record(boot(1))
    await r.close()
    expect(groups).toEqual([100, 1])
  })
  it("of more than one command's worth go in several", async () => {
    const groups: Array<number> = []
    const r = recorder(async (boots) => groups.push(boots.length))
    for (let n = 0; n < limits.bootsRecordedMax + 1; n++) r.record(boot(1))
    await r.close()
    expect(groups).toEqual([limits.bootsRecordedMax, 1])
  })
  it("wait while the log takes none, and are recorded in order when it does", async () => {
    let takes = false
    const recorded: Array<string> = []
    const r = recorder(async (boots) => {
      if (!takes) throw new Error("the store is read-only")
      recorded.push(...boots.map((b) => b.address))
    })
    r.record(boot(1, { address: "10.0.0.1" }))
    await r.pass()
    expect([recorded, r.problems]).toEqual([[], ["1 boots are not recorded yet: the store is read-only"]])
    takes = true
    r.record(boot(2, { address: "10.0.0.2" }))
    await r.pass()
    expect(recorded).toEqual(["10.0.0.1", "10.0.0.2"])
  })
  it("beyond what may wait are not recorded, and that is told once", async () => {
    const recorded: Array<Boot> = []
    const r = recorder(async (boots) => recorded.push(...boots))
    for (let n = 0; n < limits.bootsWaitingMax + 2; n++) r.record(boot(1))
    expect(r.problems).toEqual([`boots are not recorded any more: ${limits.bootsWaitingMax} are waiting for the log`])
    await r.close()
    expect(recorded).toHaveLength(limits.bootsWaitingMax)
  })
})
