/** Asking again, on a clock of its own: every wait is written out, and nothing really waits. */
import { expect, it } from "vitest"
import { fail } from "../../../core/errors.ts"
import type { Clock } from "../../../plugins/remote/clock.ts"
import { describePatiently, readPatiently } from "../../../plugins/remote/patience.ts"
import { type Described, type Source, Transient, type Want } from "../../../plugins/remote/source.ts"
import { refusalOf } from "../../support/remote.ts"

const described: Described = { sizeBytes: 1000, validator: { kind: "etag", text: '"a"' } }

/** Time stands still while somebody works, and jumps to the next thing that is due when all wait. */
const jumpingClock = (random: () => number) => {
  let now = 0
  const due: Array<{ at: number; run: () => void }> = []
  const clock: Clock = {
    now: () => now,
    utc: () => now,
    random,
    after(millis, run) {
      const entry = { at: now + millis, run }
      due.push(entry)
      return () => {
        const i = due.indexOf(entry)
        if (i >= 0) due.splice(i, 1)
      }
    },
  }
  const until = async <A>(work: Promise<A>): Promise<A> => {
    let isDone = false
    work.then(
      () => (isDone = true),
      () => (isDone = true),
    )
    for (let turns = 0; turns < 10_000; turns++) {
      await new Promise((resolve) => setImmediate(resolve))
      if (isDone) return work
      const [next] = due.sort((a, b) => a.at - b.at)
      if (next === undefined) continue
      due.shift()
      now = Math.max(now, next.at)
      next.run()
    }
    throw new Error("nothing is due, and nothing is done")
  }
  return { clock, until }
}

type Step = (want: Want | undefined, signal: AbortSignal) => Promise<void>
const failing =
  (why: string, options?: ConstructorParameters<typeof Transient>[1], bytes = 0): Step =>
  async (want) => {
    if (want !== undefined) want.done += bytes
    throw new Transient(why, options)
  }
const silent: Step = (_, signal) =>
  new Promise((_, reject) =>
    signal.addEventListener("abort", () => reject(new Transient("there was no answer in time"))),
  )

const scripted = (steps: ReadonlyArray<Step>, clock: Clock) => {
  const tries: Array<number> = []
  const step = async (want: Want | undefined, signal: AbortSignal) => {
    tries.push(Math.round(clock.now()))
    await (steps[tries.length - 1] ?? steps.at(-1)!)(want, signal)
  }
  const source: Source = {
    url: "https://lab/disk.raw",
    async describe(signal) {
      await step(undefined, signal)
      return described
    },
    read: (want, _, signal) => step(want, signal),
    close: async () => undefined,
  }
  return { source, tries }
}

const ask = async (
  steps: ReadonlyArray<Step>,
  { random = (): number => 1, at = 15_000, signal = new AbortController().signal } = {},
) => {
  const { clock, until } = jumpingClock(random)
  const { source, tries } = scripted(steps, clock)
  const want: Want = { offset: 65_536, into: new Uint8Array(100), done: 0, arrived: () => undefined }
  const said = await until(refusalOf(readPatiently(source, clock, { at, signal }, want, described)))
  return { tries, said, now: Math.round(clock.now()) }
}
const whole: Step = async (want) => {
  want!.done = want!.into.length
}

it("waits twice as long each time, up to two seconds, and gives up before the deadline with the last reason", async () => {
  const { tries, said } = await ask([failing("its server answers 503")])
  expect(tries).toEqual([0, 101, 302, 703, 1504, 3105, 5106, 7107, 9108, 11_109, 13_110])
  expect(said).toBe(
    "REMOTE_UNREACHABLE: cannot read https://lab/disk.raw at byte 65536 (+100) now: its server answers 503",
  )
})

it("waits any part of that by chance, but never not at all", async () => {
  const { tries } = await ask([failing("x"), failing("x"), failing("x"), whole], { random: () => 0 })
  expect(tries).toEqual([0, 1, 2, 3])
})

it("waits as long as the server asks, and no longer than the deadline", async () => {
  expect((await ask([failing("x", { waitMillis: 5000 }), whole])).tries).toEqual([0, 5000])
  expect((await ask([failing("x", { waitMillis: 15_000 }), whole])).tries).toEqual([0])
})

it("asks at once after a connection that was closed while idle, twice, and then waits", async () => {
  const stale = failing("its server dropped the connection", { atOnce: true })
  expect((await ask([stale, stale, stale, whole])).tries).toEqual([0, 0, 0, 101])
})

it("begins to count anew when bytes came, and asks at once for the rest of a short answer", async () => {
  const cut = failing("the answer was cut short", {}, 10)
  expect((await ask([failing("x"), failing("x"), cut, cut, whole])).tries).toEqual([0, 101, 302, 403, 504])
  const short: Step = async (want) => {
    want!.done += 25
  }
  expect(await ask([short])).toEqual({ tries: [0, 0, 0, 0], said: "no refusal", now: 0 })
})

it("ends a try that hears nothing at the deadline, and tells the reason of the one before", async () => {
  expect(await ask([silent])).toMatchObject({ tries: [0], now: 15_000 })
  const { said, now } = await ask([failing("its server refuses connections"), silent])
  expect(said).toContain("its server refuses connections")
  expect(now).toBe(15_000)
})

it("does not ask again what was refused for good", async () => {
  const refusing: Step = async () => {
    throw fail("REMOTE_CHANGED", { url: "https://lab/disk.raw", what: "its ETag" })
  }
  const { tries, said } = await ask([refusing])
  expect(tries).toEqual([0])
  expect(said).toContain("REMOTE_CHANGED")
})

it("stops when nobody waits any more, before the first try and between two", async () => {
  const { clock, until } = jumpingClock(() => 1)
  const controller = new AbortController()
  const { source, tries } = scripted([failing("x")], clock)
  clock.after(500, () => controller.abort())
  const asked = describePatiently(source, clock, { at: 15_000, signal: controller.signal })
  expect(await until(refusalOf(asked))).toContain("CANCELLED")
  expect(tries).toEqual([0, 101, 302])
  expect((await ask([silent], { signal: AbortSignal.abort() })).said).toContain("CANCELLED")
})
