/** What a session asks for is counted once, whatever door it takes; a request that fails is told and not counted. */
import { describe, expect, it } from "vitest"
import type { BlockDevice } from "../../core/block/device.ts"
import { LATENCY_BOUNDS, LATENCY_SAMPLE, Latency } from "../../core/block/latency.ts"
import { FLUSHES, Latencies, meterDevice, newCounts, READS, WRITES } from "../../core/block/meter.ts"
import { fail } from "../../core/errors.ts"

const total = ({ counts }: Latency): number => counts.reduce((sum, n) => sum + n, 0)

/** A disk that answers as it is told: `true`, a miss, or an error. Each look at the clock is a millisecond. */
const metered = (answer: () => boolean) => {
  const counts = newCounts()
  const latencies = new Latencies()
  const told: Array<unknown> = []
  let looks = 0
  const later = async () => void answer()
  const device = {
    ...{ readSync: answer, writeSync: answer, zeroSync: answer },
    ...{ read: later, write: later, zero: later, trim: later, flush: later },
  } as unknown as BlockDevice
  const meter = meterDevice(device, { counts, latencies, now: () => ++looks, onError: (e) => told.push(e) })
  return { meter, counts, latencies, told, looks: () => looks }
}
const buffer = new Uint8Array(512)

describe("a latency", () => {
  it("is counted under the least bound that it does not pass, and above the last under none", () => {
    const latency = new Latency()
    const last = LATENCY_BOUNDS.at(-1)!
    for (const millis of [0, LATENCY_BOUNDS[0]!, LATENCY_BOUNDS[0]! + 0.0001, last, last + 1])
      latency.observe(millis, 2)
    const expected = new Array(LATENCY_BOUNDS.length + 1).fill(0)
    Object.assign(expected, { 0: 4, 1: 2, [LATENCY_BOUNDS.length - 1]: 2, [LATENCY_BOUNDS.length]: 2 })
    expect([...latency.counts]).toEqual(expected)
    expect(latency.sumMillis).toBeCloseTo(2 * (0.005 + 0.0051 + 5000 + 5001))
  })
})

describe("a meter", () => {
  it("counts bytes and requests of both doors, and every kind apart", async () => {
    const { meter, counts } = metered(() => true)
    meter.readSync(buffer, 0, 0, 512)
    await meter.read(buffer, 0, 0, 4096)
    meter.writeSync(buffer, 0, 0, 100, 0)
    await meter.write(buffer, 0, 0, 28, 0)
    meter.zeroSync(0, 7, 0)
    await meter.zero(0, 8, 0)
    await meter.trim(0, 9, 0)
    await meter.flush()
    expect([...counts]).toEqual([4608, 2, 128, 2, 24, 3, 1])
  })

  it("counts nothing of a miss, which is asked for again", () => {
    const { meter, counts, latencies } = metered(() => false)
    expect([
      meter.readSync(buffer, 0, 0, 512),
      meter.writeSync(buffer, 0, 0, 512, 0),
      meter.zeroSync(0, 512, 0),
    ]).toEqual([false, false, false])
    expect([...counts]).toEqual([0, 0, 0, 0, 0, 0, 0])
    expect([total(latencies.read), total(latencies.write), total(latencies.zero)]).toEqual([0, 0, 0])
  })

  it("looks at the clock for one request in many that are answered at once, and lets it stand for all", () => {
    const { meter, counts, latencies, looks } = metered(() => true)
    for (let i = 0; i < 3 * LATENCY_SAMPLE; i++) meter.readSync(buffer, 0, 0, 1)
    expect([counts[READS], looks(), total(latencies.read)]).toEqual([3 * LATENCY_SAMPLE, 6, 3 * LATENCY_SAMPLE])
    for (let i = 0; i < LATENCY_SAMPLE + 1; i++) meter.writeSync(buffer, 0, 0, 1, 0)
    expect([counts[WRITES], looks(), total(latencies.write)]).toEqual([LATENCY_SAMPLE + 1, 10, 2 * LATENCY_SAMPLE])
  })

  it("times every one that waits", async () => {
    const { meter, counts, latencies } = metered(() => true)
    for (let i = 0; i < 5; i++) await meter.flush()
    expect([counts[FLUSHES], total(latencies.flush), latencies.flush.sumMillis]).toEqual([5, 5, 5])
  })

  it("tells what failed and passes it on; what ends a request on purpose is no failure", async () => {
    const broken = fail("IO_ERROR", { what: "the disk" })
    const one = metered(() => {
      throw broken
    })
    expect(() => one.meter.readSync(buffer, 0, 0, 1)).toThrow(broken)
    expect(() => one.meter.writeSync(buffer, 0, 0, 1, 0)).toThrow(broken)
    expect(() => one.meter.zeroSync(0, 1, 0)).toThrow(broken)
    await expect(one.meter.flush()).rejects.toBe(broken)
    expect([one.told, [...one.counts]]).toEqual([
      [broken, broken, broken, broken],
      [0, 0, 0, 0, 0, 0, 0],
    ])
    for (const code of ["CANCELLED", "CLOSED", "OVERLAY_RETIRED", "NOT_SUPPORTED"] as const) {
      const other = metered(() => {
        throw fail(code, { what: "x", client: "PC-1", slot: 0 } as never)
      })
      await expect(other.meter.read(buffer, 0, 0, 1)).rejects.toMatchObject({ code })
      expect(other.told).toEqual([])
    }
  })
})
