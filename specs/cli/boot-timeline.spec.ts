/** A boot in two lines: what was booted, how long each stage took, and which took longest. */
import { describe, expect, it } from "vitest"
import { bar, bootLines, liveLines, slowestStage, stagesTook } from "../../adapters/cli/boot-timeline.ts"
import type { LiveBoot } from "../../core/runtime/live-boot.ts"
import { boot } from "../support/versions.ts"

const stages = [
  { name: "offer", millis: 0 },
  { name: "tftp", millis: 3000 },
  { name: "ipxe", millis: 6000 },
  { name: "script", millis: 7000 },
  { name: "login", millis: 8000 },
  { name: "first read", millis: 8250 },
]

describe("a timeline", () => {
  it("has what was booted, and each stage with its share, its length and the slowest of them", () => {
    const row = { ...boot(1, { firmware: "UEFI x64 (PXEClient:Arch:00007)", stages }), position: 7, at: 0 }
    expect(bootLines(row).split("\n")).toEqual([
      "1970-01-01 00:00:00Z  PC-001  win11@1  discard  10.0.0.1  nbd  UEFI x64",
      "  TTTTTTTTTTTTIIIIIIIIIIISSSSLLLLF  8.3 s: offer 0 ms, tftp 3.0 s, ipxe 3.0 s, script 1.0 s, login 1.0 s, first read 250 ms; slowest tftp",
    ])
  })

  it("of a boot without stages is one line, as those were that were recorded before there were any", () => {
    expect(bootLines({ ...boot(1), position: 1, at: 0 })).toBe(
      "1970-01-01 00:00:00Z  PC-001  win11@1  discard  10.0.0.1  nbd  -",
    )
  })

  it("names no slowest stage, and draws none, where all took no time", () => {
    const none = [
      { name: "login", millis: 0 },
      { name: "first read", millis: 0 },
    ]
    expect([slowestStage(none), bar(none), slowestStage([])]).toEqual([undefined, "", undefined])
    expect(bootLines({ ...boot(1, { stages: none }), position: 1, at: 0 }).split("\n")[1]).toBe(
      `  ${" ".repeat(32)}  0 ms: login 0 ms, first read 0 ms`,
    )
  })

  it("names the first of two that took longest, and fills the bar whatever their lengths", () => {
    expect(slowestStage(stages)).toEqual({ name: "tftp", millis: 3000 })
    for (const width of [1, 2, 3, 7, 32, 100]) expect(bar(stages, width)).toHaveLength(width)
    expect(bar([{ name: "offer", millis: 5 }], 4)).toBe("OOOO")
  })

  it("takes stages that are not in order for none of negative length", () => {
    const odd = [
      { name: "offer", millis: 9 },
      { name: "tftp", millis: 3 },
    ]
    expect(stagesTook(odd)).toEqual([
      { name: "offer", millis: 9 },
      { name: "tftp", millis: 0 },
    ])
    expect(bar(odd, 4)).toBe("OOOO")
  })
})

describe("who is on the way", () => {
  const live: LiveBoot = {
    mac: "52:54:00:00:00:01",
    client: "PC-001",
    address: "10.0.0.11",
    firmware: "BIOS (PXEClient)",
    state: "tftp",
    since: 1000,
    stages: [],
    stuck: null,
    error: null,
  }

  it("is told with where and since when, and why it goes no further", () => {
    expect(liveLines(live, 35_000)).toBe("PC-001  tftp for 34.0 s  10.0.0.11  BIOS")
    const error = { at: 1, text: "tftp 10.0.0.11:1 a: there is no such file" }
    const stuck = { ...live, client: null, address: null, firmware: null, stuck: "its boot program", error }
    expect(liveLines(stuck, 1000).split("\n")).toEqual([
      "52:54:00:00:00:01  tftp for 0 ms  -  -",
      "  stuck: its boot program",
      "  tftp 10.0.0.11:1 a: there is no such file",
    ])
  })
})
