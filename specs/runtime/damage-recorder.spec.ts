/** Bad clusters that reads meet: gathered, recorded once, and never lost while the log takes nothing. */
import { describe, expect, it } from "vitest"
import { fail } from "../../core/errors.ts"
import { limits } from "../../core/limits.ts"
import { type Damage, makeDamageRecorder } from "../../core/runtime/damage-recorder.ts"

/** A recorder whose time passes when it is told to. */
const recorder = (append: (damage: Damage) => Promise<unknown>) => {
  const due: Array<{ readonly run: () => void; readonly millis: number }> = []
  const problems: Array<string> = []
  const later = (run: () => void, millis: number) => {
    due.push({ run, millis })
    return () => void due.splice(0)
  }
  const made = makeDamageRecorder({ append, later, onProblem: (text) => void problems.push(text) })
  const pass = async () => {
    for (const { run } of due.splice(0)) run()
    await new Promise((resolve) => setImmediate(resolve))
  }
  return { ...made, pass, problems, due }
}
const keeping = () => {
  const kept: Array<string> = []
  const append = async ({ imageId, version, clusters }: Damage) => {
    kept.push(`${imageId}@${version} ${clusters.join(" ")}`)
  }
  return { kept, append }
}

describe("bad clusters", () => {
  it("of one version that are met together are recorded together, in order, each once", async () => {
    const { kept, append } = keeping()
    const r = recorder(append)
    for (const cluster of [7, 3, 7]) r.record("a", 1, cluster)
    r.record("a", 2, 3)
    expect([kept, r.due.map(({ millis }) => millis)]).toEqual([[], [limits.damageRecordMillis]])
    await r.pass()
    expect(kept).toEqual(["a@1 3 7", "a@2 3"])
    await r.close()
    expect(kept).toHaveLength(2)
  })
  it("that are met while others are being recorded follow", async () => {
    const { kept, append } = keeping()
    let go = () => {}
    const gate = new Promise<void>((resolve) => {
      go = resolve
    })
    const r = recorder((damage) => gate.then(() => append(damage)))
    r.record("a", 1, 1)
    await r.pass()
    r.record("a", 1, 2)
    expect(r.due).toEqual([])
    go()
    await r.pass()
    await r.pass()
    expect(kept).toEqual(["a@1 1", "a@1 2"])
  })
  it("wait while the log takes none", async () => {
    const { kept, append } = keeping()
    let takes = false
    const r = recorder(async (damage) => {
      if (!takes) throw new Error("the store is read-only")
      await append(damage)
    })
    r.record("a", 1, 1)
    await r.pass()
    expect(r.problems).toEqual(["bad clusters are not recorded yet: the store is read-only"])
    expect(r.due.map(({ millis }) => millis)).toEqual([limits.damageRetryMillis])
    r.record("a", 1, 2)
    takes = true
    await r.pass()
    expect([kept, r.due]).toEqual([["a@1 1 2"], []])
  })
  it("of an image that was removed since are dropped", async () => {
    const r = recorder(async () => {
      throw fail("IMAGE_NOT_FOUND", { name: "win11" })
    })
    r.record("a", 1, 1)
    await r.pass()
    expect([r.problems, r.due]).toEqual([[], []])
  })
  it("are no more than one event lists, and of no more versions than may wait", async () => {
    const { kept, append } = keeping()
    const r = recorder(append)
    for (let cluster = 0; cluster <= limits.checkClustersListedMax; cluster++) r.record("a", 1, cluster)
    for (let version = 2; version <= limits.damageVersionsWaitingMax + 1; version++) r.record("a", version, 1)
    await r.close()
    expect(kept).toHaveLength(limits.damageVersionsWaitingMax)
    expect(kept[0]).toBe(`a@1 ${Array.from({ length: limits.checkClustersListedMax }, (_, i) => i).join(" ")}`)
  })
  it("that wait at the end are recorded, or reported", async () => {
    const { kept, append } = keeping()
    const r = recorder(append)
    r.record("a", 1, 1)
    await r.close()
    expect(kept).toEqual(["a@1 1"])
    const broken = recorder(async () => {
      throw new Error("full")
    })
    broken.record("a", 1, 1)
    await broken.close()
    expect([broken.problems.length, broken.due]).toEqual([1, []])
  })
})
