import { describe, expect, it } from "vitest"
import { columns, spark } from "./plot.ts"
import { judged, type Sample, sampleOf } from "./samples.ts"

const still: Sample = {
  rssBytes: 300e6,
  outsideBytes: 200e6,
  heapBytes: 50e6,
  files: 300,
  resources: 200,
  lagSeconds: 0.004,
}
const soak = (of: (n: number) => Partial<Sample>) => Array.from({ length: 240 }, (_, n) => ({ ...still, ...of(n) }))
const well = { boots: 1000, problems: [], unfinished: 0 }
const wrong = (samples: ReadonlyArray<Sample>, outcome: Parameters<typeof judged>[1] = well) =>
  judged(samples, outcome).flatMap(({ what, right }) => (right ? [] : [what]))

describe("a soak", () => {
  it("finds nothing wrong with a server that stays as it is", () => {
    expect(wrong(soak(() => ({})))).toEqual([])
  })
  it("does not mind what fills in the first quarter", () => {
    expect(wrong(soak((n) => (n < 60 ? { outsideBytes: 100e6 + n * 1e6, files: 20 } : {})))).toEqual([])
  })
  it("does not mind a heap that is collected again and again, and what it keeps free", () => {
    expect(wrong(soak((n) => ({ rssBytes: 300e6 + n * 1e6 })))).toEqual([])
    expect(wrong(soak((n) => ({ heapBytes: 50e6 + (n % 17) * 5e6 })))).toEqual([])
  })
  it("does not mind memory that an allocator takes once and keeps, whenever that is", () => {
    for (const when of [70, 110, 150, 190, 230])
      expect(wrong(soak((n) => (n < when ? {} : { outsideBytes: 270e6 })))).toEqual([])
  })
  it("names memory, heap, files and handles that grow to the end", () => {
    expect(wrong(soak((n) => ({ outsideBytes: 200e6 + n * 0.5e6 })))).toEqual(["memory beside the heap"])
    expect(wrong(soak((n) => ({ heapBytes: 50e6 + n * 0.5e6 + (n % 17) * 5e6 })))).toEqual(["heap"])
    expect(wrong(soak((n) => ({ files: 100 + n })))).toEqual(["open files"])
    expect(wrong(soak((n) => ({ resources: 100 + n })))).toEqual(["what keeps the event loop alive"])
  })
  it("names a wrong byte, a PC that gave up, and that nothing booted", () => {
    const boots = "every boot came to its end, and every byte was right"
    for (const outcome of [{ problems: ["bytes 0 to 511"] }, { unfinished: 1 }, { boots: 0 }])
      expect(
        wrong(
          soak(() => ({})),
          { ...well, ...outcome },
        ),
      ).toEqual([boots])
  })
  it("reads its sample from the metrics' text, and says what they lack", () => {
    const text = [
      "# HELP process_open_fds Open file descriptors.",
      "process_resident_memory_bytes 5",
      "nodejs_heap_size_total_bytes 1",
      "nodejs_heap_size_used_bytes 4",
      "process_open_fds 3",
      "nodejs_active_resources 2",
      'imagelink_event_loop_lag_seconds{quantile="0.5"} 0.1',
      'imagelink_event_loop_lag_seconds{quantile="0.99"} 0.2',
    ]
    const [rssBytes, outsideBytes, heapBytes] = [5, 4, 4]
    expect(sampleOf(text.join("\n"))).toEqual({
      ...{ rssBytes, outsideBytes, heapBytes, files: 3, resources: 2, lagSeconds: 0.2 },
    })
    expect(() => sampleOf(text.slice(2).join("\n"))).toThrow("process_resident_memory_bytes")
  })
})

describe("its plot", () => {
  it("shows each column's largest value, from zero", () => {
    expect(columns([1, 9, 2, 3, 4, 5], 3)).toEqual([9, 3, 5])
    expect(columns([1, 2], 60)).toEqual([1, 2])
    expect(spark([0, 1, 2, 7])).toBe("▁▂▃█")
    expect(spark([7, 7, 7])).toBe("███")
    expect(spark([0, 0])).toBe("▁▁")
  })
})
