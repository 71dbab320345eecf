/** The order of a unit's tasks, without tasks. */
import { describe, expect, it } from "vitest"
import { HEAD_OF_QUEUE, ORDERED, type Place, TaskSet } from "../../adapters/scsi/task-set.ts"

const SIMPLE = 1
const line = () => {
  const begun: Array<string> = []
  let changes = 0
  const set = new TaskSet(() => changes++)
  const come = (name: string, attribute: number): Place => {
    const place = set.enter(attribute)
    set.take(place, () => begun.push(name))
    return place
  }
  return { set, begun, come, changes: () => changes }
}

describe("a task set", () => {
  it("lets SIMPLE tasks begin at once, and is not ordered by them", () => {
    const { set, begun, come, changes } = line()
    for (const name of ["a", "b"]) come(name, SIMPLE)
    expect([begun, set.isOrdered, changes()]).toEqual([["a", "b"], false, 0])
  })

  it("lets an ORDERED task begin when all before it have left, and those behind when it has", () => {
    const { set, begun, come } = line()
    const [a, b] = [come("a", SIMPLE), come("b", SIMPLE)]
    const o = come("o", ORDERED)
    const p = come("p", ORDERED)
    come("c", SIMPLE)
    come("d", SIMPLE)
    set.leave(b)
    expect(begun).toEqual(["a", "b"])
    set.leave(a)
    expect(begun).toEqual(["a", "b", "o"])
    set.leave(o)
    expect(begun).toEqual(["a", "b", "o", "p"])
    set.leave(p)
    set.leave(p)
    expect([begun, set.isOrdered]).toEqual([["a", "b", "o", "p", "c", "d"], false])
  })

  it("lets an ORDERED task alone begin at once", () => {
    const { set, begun, come } = line()
    const o = come("o", ORDERED)
    expect([begun, set.isOrdered]).toEqual([["o"], true])
    set.leave(o)
    expect(set.isOrdered).toBe(false)
  })

  it("waits for a task that came and does not want to begin yet", () => {
    const { set, begun, come } = line()
    const collecting = set.enter(SIMPLE)
    come("o", ORDERED)
    expect(begun).toEqual([])
    set.take(collecting, () => begun.push("w"))
    expect(begun).toEqual(["w"])
    set.leave(collecting)
    expect(begun).toEqual(["w", "o"])
  })

  it("puts HEAD OF QUEUE before all that has not begun", () => {
    const { set, begun, come } = line()
    const a = come("a", SIMPLE)
    come("o", ORDERED)
    const h = come("h", HEAD_OF_QUEUE)
    come("b", SIMPLE)
    set.leave(a)
    expect(begun).toEqual(["a", "h"])
    set.leave(h)
    expect(begun).toEqual(["a", "h", "o"])
  })

  it("goes on past one that waits and leaves", () => {
    const { set, begun, come } = line()
    const a = come("a", SIMPLE)
    const o = come("o", ORDERED)
    come("b", SIMPLE)
    set.leave(o)
    expect(begun).toEqual(["a", "b"])
    set.leave(a)
    expect(begun).toEqual(["a", "b"])
  })

  it("of a thousand that end as they begin goes through all of them", () => {
    const { set } = line()
    const first = set.enter(SIMPLE)
    let ended = 0
    for (let i = 0; i < 1000; i++) {
      const place = set.enter(ORDERED)
      set.take(place, () => {
        ended++
        set.leave(place)
      })
    }
    expect(ended).toBe(0)
    set.leave(first)
    expect([ended, set.isOrdered]).toEqual([1000, false])
  })
})
