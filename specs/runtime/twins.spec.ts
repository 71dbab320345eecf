/** Two PCs with one MAC: who is asked for a sign of life, how long, and what comes of it. */
import { beforeEach, expect, it } from "vitest"
import type { SignOfLife } from "../../core/block/lease.ts"
import { limits } from "../../core/limits.ts"
import { makeTwins, type Twin, type Twins } from "../../core/runtime/twins.ts"
import { codeOf } from "../support/committing.ts"

const pc = { id: "c1", name: "PC-001" }
const [FIRST, SECOND] = ["192.0.2.11", "198.51.100.7"]
let twins: Twins
let timers: Array<{ readonly run: () => void; readonly millis: number }>
let told: Array<Twin>
let asked: Array<string>
let now: number

beforeEach(() => {
  timers = []
  told = []
  asked = []
  now = 1_000_000
  twins = makeTwins({
    now: () => now,
    later: (run, millis) => {
      const timer = { run, millis }
      timers.push(timer)
      return () => void timers.splice(timers.indexOf(timer), 1)
    },
    onTwin: (twin) => void told.push(twin),
  })
})

const turn = () => new Promise((resolve) => setImmediate(resolve))
const timeIsOver = () => {
  for (const { run } of timers.splice(0)) run()
}
/** A session whose PC answers, is silent, or ends. */
const session = (name: string, answer: "lives" | "silent" | "ends", boot = "b1") => {
  const ask: SignOfLife = (signal) => {
    asked.push(name)
    if (answer !== "silent") return Promise.resolve(answer === "lives")
    return new Promise((resolve) => signal.addEventListener("abort", () => resolve(false)))
  }
  return twins.joined(pc, boot, FIRST, ask)
}
const second = () => twins.refuseSecond(pc, "b1", SECOND)
const outcome = (wanted: Promise<void>) => codeOf(wanted)

it("where no session of the current boot is open, nobody is asked and the new boot begins at once", async () => {
  await second()
  const leave = session("gone", "lives")
  leave()
  session("older", "lives", "b0")
  twins.joined({ id: "c2", name: "PC-002" }, "b1", FIRST, () => Promise.resolve(true))
  await second()
  expect([asked, timers, told]).toEqual([[], [], []])
})

it("one session that answers is enough, and the first PC stays", async () => {
  session("firmware", "silent")
  session("system", "lives")
  expect(await outcome(second())).toBe("CLIENT_TWICE")
  expect([asked, timers, told]).toEqual([
    ["firmware", "system"],
    [],
    [{ client: "PC-001", boot: "b1", address: FIRST, second: SECOND }],
  ])
})

it("a silent one is waited for, until its time is over and not for ever", async () => {
  session("silent", "silent")
  let begun = false
  const beginning = second().then(() => {
    begun = true
  })
  await turn()
  expect([begun, timers.map(({ millis }) => millis)]).toEqual([false, [limits.bootTwinMillisMax]])
  timeIsOver()
  await beginning
  expect([begun, told]).toEqual([true, []])
})

it("one that ends is waited for as well, because a system whose connection was broken comes back; then that is asked", async () => {
  const leave = session("broken", "ends")
  const beginning = outcome(second())
  await turn()
  leave()
  session("of another boot", "lives", "b2")
  session("again", "lives")
  expect(await beginning).toBe("CLIENT_TWICE")
  expect(asked).toEqual(["broken", "again"])
})

it("is reported once for each boot that runs", async () => {
  session("system", "lives")
  expect([await outcome(second()), await outcome(second())]).toEqual(["CLIENT_TWICE", "CLIENT_TWICE"])
  session("next", "lives", "b2")
  expect(await outcome(twins.refuseSecond(pc, "b2", SECOND))).toBe("CLIENT_TWICE")
  expect(told.map(({ boot }) => boot)).toEqual(["b1", "b2"])
})

it("a boot script says it after a refusal, as long as the first PC answers and somebody keeps asking", async () => {
  expect(await twins.refused(pc)).toBe(undefined)
  const leave = session("system", "lives")
  // A system that runs may fetch its own script.
  expect(await twins.refused(pc)).toBe(undefined)
  await outcome(second())
  for (let i = 0; i < 3; i++) {
    now += limits.bootSilenceSecondsMax * 1000
    expect((await twins.refused(pc))?.message).toBe(
      "PC-001 runs at 192.0.2.11, so its disk is not given to another computer at 198.51.100.7",
    )
  }
  leave()
  expect(await twins.refused(pc)).toBe(undefined)
  session("system", "lives")
  await outcome(second())
  now += limits.bootSilenceSecondsMax * 1000 + 1
  expect(await twins.refused(pc)).toBe(undefined)
})
