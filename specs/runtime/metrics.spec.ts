import { describe, expect, it } from "vitest"
import type { Disks, Peer } from "../../core/block/lease.ts"
import type { Boot } from "../../core/runtime/boot-recorder.ts"
import { Histogram } from "../../core/runtime/metrics/histogram.ts"
import { makeServerCounts } from "../../core/runtime/metrics/server-counts.ts"
import { metricsText } from "../../core/runtime/metrics/text.ts"

const told = (counts: ReturnType<typeof makeServerCounts>): ReadonlyArray<string> =>
  metricsText(counts.metrics())
    .split("\n")
    .filter((line) => !line.startsWith("#"))

describe("the text of metrics", () => {
  it("escapes what labels and help may hold, and writes infinities as Prometheus reads them", () => {
    const text = metricsText([
      {
        name: "m",
        type: "gauge",
        help: "a\\b\nc",
        samples: [
          { labels: { k: 'q"\\\n' }, value: Number.POSITIVE_INFINITY },
          { value: Number.NEGATIVE_INFINITY },
          { labels: { a: "1", b: "2" }, value: Number.NaN },
        ],
      },
    ])
    expect(text).toBe('# HELP m a\\\\b\\nc\n# TYPE m gauge\nm{k="q\\"\\\\\\n"} +Inf\nm -Inf\nm{a="1",b="2"} NaN\n')
  })

  it("is empty for no metrics, and tells of one that has no samples", () => {
    expect(metricsText([])).toBe("")
    expect(metricsText([{ name: "m", type: "counter", help: "h", samples: [] }])).toBe("# HELP m h\n# TYPE m counter\n")
  })
})

describe("a histogram", () => {
  it("counts a value in every bucket whose bound it does not pass; the bound itself belongs to it", () => {
    const histogram = new Histogram([1, 2])
    for (const value of [0, 1, 1.5, 2, 2.5]) histogram.observe(value)
    const samples = histogram.samples().map(({ suffix, labels, value }) => [suffix, labels?.le, value])
    expect(samples).toEqual([
      ["_bucket", "1", 2],
      ["_bucket", "2", 4],
      ["_bucket", "+Inf", 5],
      ["_sum", undefined, 7],
      ["_count", undefined, 5],
    ])
  })
})

describe("what a server counts", () => {
  it("is a boot whole, and each of its stages from the end of the one before", () => {
    const counts = makeServerCounts()
    const stages = [
      { name: "offer", millis: 0 },
      { name: "tftp", millis: 3000 },
      { name: "login", millis: 3100 },
    ]
    counts.boot({ protocol: "iscsi", stages } as unknown as Boot)
    counts.boot({ protocol: "nbd", stages: [] } as unknown as Boot)
    const lines = told(counts)
    expect(lines).toContain('imagelink_boots_total{protocol="iscsi"} 1')
    expect(lines).toContain('imagelink_boots_total{protocol="nbd"} 1')
    expect(lines).toContain("imagelink_boot_duration_seconds_count 1")
    expect(lines).toContain("imagelink_boot_duration_seconds_sum 3.1")
    expect(lines).toContain('imagelink_boot_stage_duration_seconds_bucket{stage="tftp",le="2.5"} 0')
    expect(lines).toContain('imagelink_boot_stage_duration_seconds_bucket{stage="tftp",le="5"} 1')
    expect(lines).toContain('imagelink_boot_stage_duration_seconds_sum{stage="login"} 0.1')
  })

  it("is each disk that is open, once, however often it is released", async () => {
    const counts = makeServerCounts()
    let released = 0
    const lease = { release: async () => void released++ }
    const disks = counts.watch({ attach: async () => lease, attachImage: async () => lease } as unknown as Disks)
    const peer: Peer = { address: "10.0.0.1", loopback: false, protocol: "iscsi" }
    const one = await disks.attach("PC-001", 0, undefined, peer)
    const other = await disks.attachImage("win11", 1, peer)
    expect(told(counts)).toContain('imagelink_sessions{protocol="iscsi"} 2')
    await one.release()
    await one.release()
    expect(released).toBe(2)
    expect(told(counts)).toContain('imagelink_sessions{protocol="iscsi"} 1')
    await other.release()
    expect(told(counts)).toContain('imagelink_sessions{protocol="iscsi"} 0')
    expect(told(counts)).toContain('imagelink_sessions_opened_total{protocol="iscsi"} 2')
  })

  it("is not a disk that was refused", async () => {
    const counts = makeServerCounts()
    const disks = counts.watch({ attach: () => Promise.reject(new Error("no")) } as unknown as Disks)
    await expect(
      disks.attach("PC-001", 0, undefined, { address: "::1", loopback: true, protocol: "nbd" }),
    ).rejects.toThrow()
    expect(told(counts).filter((line) => line.startsWith("imagelink_sessions"))).toEqual([])
  })

  it("is what protocols tell, and the bytes that they sent", () => {
    const counts = makeServerCounts()
    counts.event("tftp", "done", 100)
    counts.event("tftp", "done", 28)
    counts.event("tftp", "refused")
    expect(told(counts)).toContain('imagelink_protocol_events_total{protocol="tftp",event="done"} 2')
    expect(told(counts)).toContain('imagelink_protocol_events_total{protocol="tftp",event="refused"} 1')
    expect(told(counts)).toContain('imagelink_files_sent_bytes_total{protocol="tftp"} 128')
  })
})
