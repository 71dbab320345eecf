/** Addresses that are lent: each to one machine at a time, found again by who had it, and kept over restarts. */
import { describe, expect, it } from "vitest"
import { addressText } from "../../adapters/dhcp/address.ts"
import { type JournalFile, openLeaseJournal } from "../../adapters/dhcp/lease-journal.ts"
import { type Lease, Leases } from "../../adapters/dhcp/leases.ts"
import { at } from "./support/messages.ts"

const range = (from: string, to: string) => ({ from: at(from), to: at(to) })
const leases = (from: string, to: string, reserved: ReadonlyArray<string> = [], kept: ReadonlyArray<Lease> = []) =>
  new Leases({ ranges: [range(from, to)], reserved: (a) => reserved.includes(addressText(a)) }, kept)
const text = (a: number | undefined) => (a === undefined ? undefined : addressText(a))

describe("a pool", () => {
  it("of one address gives it to the first, and to the next when its time is over", () => {
    const pool = leases("10.0.0.5", "10.0.0.5")
    expect(text(pool.offer("a", undefined, 0))).toBe("10.0.0.5")
    expect(pool.offer("b", undefined, 59_999)).toBeUndefined()
    expect(text(pool.offer("b", undefined, 60_000))).toBe("10.0.0.5")
    expect(pool.lease("a", at("10.0.0.5"), 10, 60_001)).toBeUndefined()
    expect(pool.lease("b", at("10.0.0.5"), 10, 60_001)?.until).toBe(70_001)
    expect(pool.of("b", 70_000)?.state).toBe("leased")
    expect(pool.of("b", 70_001)).toBeUndefined()
  })
  it("gives a machine the address that it had, also long after", () => {
    const pool = leases("10.0.0.5", "10.0.0.9")
    for (const mac of ["a", "b", "c"]) pool.offer(mac, undefined, 0)
    expect(pool.lease("b", at("10.0.0.6"), 10, 0)).toBeDefined()
    expect(text(pool.offer("b", undefined, 1e9))).toBe("10.0.0.6")
  })
  it("gives what is asked for if it is free, then what nobody had, then what is free longest", () => {
    const pool = leases("10.0.0.5", "10.0.0.7")
    expect(text(pool.offer("a", at("10.0.0.6"), 0))).toBe("10.0.0.6")
    expect(text(pool.offer("b", at("10.0.0.6"), 1))).toBe("10.0.0.5")
    expect(text(pool.offer("c", at("10.9.9.9"), 2))).toBe("10.0.0.7")
    expect(pool.offer("d", undefined, 59_999)).toBeUndefined()
    expect(text(pool.offer("d", undefined, 60_000))).toBe("10.0.0.6")
  })
  it("lends from other ranges when it is told to, and finds again who was where when it is told back", () => {
    const pool = leases("10.0.0.5", "10.0.0.6")
    for (const mac of ["a", "b"]) pool.lease(mac, pool.offer(mac, undefined, 0)!, 100, 0)
    pool.lendFrom([range("10.0.0.6", "10.0.0.7")])
    expect(pool.of("a", 1)).toBeUndefined()
    expect(text(pool.of("b", 1)?.address)).toBe("10.0.0.6")
    expect([text(pool.offer("c", undefined, 1)), pool.offer("d", undefined, 1)]).toEqual(["10.0.0.7", undefined])
    pool.lendFrom([range("10.0.0.5", "10.0.0.7")])
    expect(text(pool.of("a", 1)?.address)).toBe("10.0.0.5")
    pool.lendFrom([])
    expect([pool.of("b", 1), pool.offer("d", undefined, 1)]).toEqual([undefined, undefined])
  })
  it("never gives what is recorded for a client, and takes it from who has it as soon as it is", () => {
    const recorded: Array<string> = ["10.0.0.5"]
    const pool = leases("10.0.0.5", "10.0.0.7", recorded)
    expect(text(pool.offer("a", undefined, 0))).toBe("10.0.0.6")
    pool.lease("a", at("10.0.0.6"), 100, 0)
    recorded.push("10.0.0.6")
    expect([pool.of("a", 1), pool.lease("a", at("10.0.0.6"), 100, 1)]).toEqual([undefined, undefined])
    expect(pool.other("b", at("10.0.0.6"), 1)?.mac).toBe("a")
    expect(text(pool.offer("a", undefined, 1))).toBe("10.0.0.7")
  })
  it("sets aside what was found in use, for everybody and for a while", () => {
    const pool = leases("10.0.0.5", "10.0.0.6")
    pool.offer("a", undefined, 0)
    expect(pool.decline("b", at("10.0.0.5"), 1)).toBeUndefined()
    expect(pool.decline("a", at("10.0.0.5"), 1)?.state).toBe("declined")
    expect(text(pool.offer("a", at("10.0.0.5"), 2))).toBe("10.0.0.6")
    expect(pool.lease("a", at("10.0.0.5"), 10, 2)).toBeUndefined()
    expect(text(pool.offer("c", undefined, 3_600_001))).toBe("10.0.0.6")
  })
  it("takes back what is released, from its owner alone, and not when the message may be one of before", () => {
    const pool = leases("10.0.0.5", "10.0.0.5")
    pool.offer("a", undefined, 0)
    pool.lease("a", at("10.0.0.5"), 1000, 1)
    expect(pool.release("b", at("10.0.0.5"), 120_000)).toBeUndefined()
    expect(pool.release("a", at("10.0.0.5"), 120_000)).toBeUndefined()
    expect(pool.release("a", at("10.0.0.5"), 120_001)?.until).toBe(120_001)
    expect(text(pool.offer("b", undefined, 120_001))).toBe("10.0.0.5")
  })
  it("that is empty gives nothing", () => {
    const none = new Leases({ ranges: [], reserved: () => false })
    expect([none.offer("a", undefined, 0), none.lease("a", at("10.0.0.1"), 1, 0)]).toEqual([undefined, undefined])
  })
})

describe("the journal of leases", () => {
  const file = (text?: string) => {
    const f = { path: "leases", text, appends: 0, fails: false }
    const journal: JournalFile = {
      path: f.path,
      read: async () => f.text,
      append: async (more) => {
        if (f.fails) throw new Error("the disk is full")
        f.appends++
        f.text = (f.text ?? "") + more
      },
      replace: async (whole) => {
        f.text = whole
      },
    }
    return { f, journal }
  }
  const lease = (mac: string, address: string, until: number, state: Lease["state"] = "leased"): Lease => {
    return { mac, address: at(address), at: until - 1, until, state }
  }

  it("has what was written, the newest of each address", async () => {
    const { f, journal } = file()
    const { write, kept } = await openLeaseJournal(journal)
    expect(kept).toEqual([])
    await write(lease("a", "10.0.0.1", 5))
    await Promise.all([write(lease("b", "10.0.0.2", 5)), write(lease("a", "10.0.0.1", 9))])
    expect((await openLeaseJournal(journal)).kept).toEqual([lease("b", "10.0.0.2", 5), lease("a", "10.0.0.1", 9)])
    expect(f.text?.split("\n")).toHaveLength(3)
  })
  it("writes together what comes while it writes", async () => {
    const { f, journal } = file()
    const { write } = await openLeaseJournal(journal)
    await Promise.all(Array.from({ length: 100 }, (_, i) => write(lease("a", `10.0.0.${i}`, i))))
    expect(f.appends).toBe(2)
  })
  it("leaves out a last line that was cut short, wherever it was", async () => {
    const whole = '{"address":"10.0.0.1","at":4,"mac":"a","state":"leased","until":5}\n'
    for (let cut = 0; cut < whole.length; cut++) {
      const { f, journal } = file(whole + whole.slice(0, cut))
      expect((await openLeaseJournal(journal)).kept).toEqual([lease("a", "10.0.0.1", 5)])
      expect(f.text, `cut at ${cut}`).toBe(whole)
    }
  })
  it.each(["{}", "x", '{"address":"10.0.0.1","at":4,"mac":"a","state":"offered","until":5}', ""])(
    "refuses a line like %j",
    async (line) => {
      await expect(openLeaseJournal(file(`${line}\n`).journal)).rejects.toMatchObject({ code: "STORE_DAMAGED" })
    },
  )
  it("tells everybody whose lease could not be written, and goes on", async () => {
    const { f, journal } = file()
    const { write } = await openLeaseJournal(journal)
    f.fails = true
    await expect(write(lease("a", "10.0.0.1", 5))).rejects.toThrow("the disk is full")
    f.fails = false
    await write(lease("a", "10.0.0.1", 5))
    expect((await openLeaseJournal(journal)).kept).toHaveLength(1)
  })
})
