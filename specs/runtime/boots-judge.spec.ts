import { describe, expect, it } from "vitest"
import { limits } from "../../core/limits.ts"
import { makeBootIds } from "../../core/runtime/boot-ids.ts"
import { type BootRecord, encodeBootRecord, noBoots } from "../../core/runtime/boot-record.ts"
import { makeBootRecords, makeBoots, type StaleBoot } from "../../core/runtime/boots.ts"
import { codeOf } from "../support/committing.ts"
import { MemoryFolder } from "../support/memory-volume.ts"

const client = { id: "01935b00-0000-7000-8000-000000000001", name: "PC-1" }
const noon = Date.UTC(2026, 10, 23, 12)
const hour = 60 * 60_000

const bench = () => {
  const clock = { now: noon }
  const stale: Array<StaleBoot> = []
  const folder = new MemoryFolder()
  let n = 0
  const boots = makeBoots({
    ids: makeBootIds(Buffer.alloc(32, 1)),
    records: makeBootRecords(folder),
    now: () => clock.now,
    random: (count) => Buffer.alloc(count, ++n),
    onStale: (s) => void stale.push(s),
  })
  /** The boot id becomes the current one. */
  const begin = async (bootId: string) => {
    const { boot, at } = boots.read(client, bootId)
    const record: BootRecord = { ...noBoots, boot, at, began: clock.now, serial: 1 }
    await boots.records.begin(client.id, record)
  }
  const judge = (bootId: string) => boots.judge(client, bootId).catch((e) => e.code)
  return { clock, stale, boots, folder, begin, judge, issue: () => boots.issue(client) }
}

describe("a boot id that nobody logged in with yet", () => {
  it("is new for an hour to the millisecond, and expired after that", async () => {
    const { clock, judge, issue } = bench()
    const boot = await issue()
    clock.now = noon + hour
    expect(await judge(boot)).toBe("new")
    clock.now++
    expect(await judge(boot)).toBe("BOOT_ID_EXPIRED")
  })

  it("says when its script was fetched, once it has expired", async () => {
    const { clock, boots, issue } = bench()
    const boot = await issue()
    clock.now = noon + 2 * hour
    const refused = await boots.judge(client, boot).catch((e) => e)
    expect(refused.reason).toContain("2026-11-23T12:00:00.000Z")
    expect(refused.reason).toContain("within 60 minutes")
  })

  it("is new though the clock was set back since", async () => {
    const { clock, judge, issue } = bench()
    const boot = await issue()
    clock.now = noon - 100 * hour
    expect(await judge(boot)).toBe("new")
  })
})

describe("the current boot id", () => {
  it("is current for ever", async () => {
    const { clock, begin, judge, issue } = bench()
    const boot = await issue()
    await begin(boot)
    clock.now = noon + 10_000 * hour
    expect(await judge(boot)).toBe("current")
  })

  it("is older than any that is made after it, whatever the clock says", async () => {
    const { clock, begin, judge, issue } = bench()
    await begin(await issue())
    clock.now = noon - 100 * hour
    const next = await issue()
    expect(await judge(next)).toBe("new")
    await begin(next)
    expect(await judge(await issue())).toBe("new")
  })
})

describe("boot ids", () => {
  it("that are made in one millisecond follow each other", async () => {
    const { begin, judge, issue } = bench()
    const made = [await issue(), await issue(), await issue()]
    await begin(made[1]!)
    expect([await judge(made[0]!), await judge(made[1]!), await judge(made[2]!)]).toEqual([
      "OVERLAY_RETIRED",
      "current",
      "new",
    ])
  })

  it("of two servers in one millisecond have one order for both", async () => {
    const [one, other] = [bench(), bench()]
    const tied = makeBootIds(Buffer.alloc(32, 1))
    const [first, second] = [1, 2].map((byte) => tied.make(client.id, noon, (n) => Buffer.alloc(n, byte)))
    await one.begin(first!)
    await other.begin(second!)
    expect([await one.judge(second!), await other.judge(first!)].sort()).toEqual(["OVERLAY_RETIRED", "new"])
  })

  it("are made also where the client's record cannot be read; who logs in is told", async () => {
    const { folder, boots, judge, issue } = bench()
    await folder.folder(client.id).replaceFile("boot", encodeBootRecord(noBoots).subarray(1))
    const boot = await issue()
    expect(boots.read(client, boot).at).toBe(noon)
    expect(await judge(boot)).toBe("OVERLAY_DAMAGED")
  })
})

describe("a retired boot id", () => {
  it("is reported once, with the time when the current boot began", async () => {
    const { clock, stale, begin, judge, issue } = bench()
    const [old, older] = [await issue(), await issue()]
    clock.now = noon + 5000
    await begin(await issue())
    for (const boot of [old, old, older, old]) expect(await judge(boot)).toBe("OVERLAY_RETIRED")
    expect(stale).toEqual([
      { client: "PC-1", boot: old.slice(0, 24), made: noon, began: noon + 5000 },
      { client: "PC-1", boot: older.slice(0, 24), made: noon + 1, began: noon + 5000 },
    ])
  })

  it("is not reported any more where there were too many, and still refused", async () => {
    const { stale, begin, judge, issue } = bench()
    const many: Array<string> = []
    for (let i = 0; i <= limits.retiredBootsReportedMax; i++) many.push(await issue())
    await begin(await issue())
    for (const boot of many) expect(await judge(boot)).toBe("OVERLAY_RETIRED")
    expect(stale).toHaveLength(limits.retiredBootsReportedMax)
  })
})

it("a boot id of another client is refused before anything is looked up", async () => {
  const { boots, issue } = bench()
  const boot = await issue()
  const other = { id: "01935b00-0000-7000-8000-000000000002", name: "PC-2" }
  expect(await codeOf(boots.judge(other, boot))).toBe("BOOT_ID_INVALID")
})
