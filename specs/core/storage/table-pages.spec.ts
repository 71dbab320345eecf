/** Table pages: one load however many ask, short at the end, and never more than the budget. */
import { expect, it } from "vitest"
import { bitRun, lookUp, lookUpSync, TableBudget, TablePages } from "../../../core/storage/table-pages.ts"
import { MemoryVolume } from "../../support/memory-volume.ts"
import { patterned } from "../../support/random.ts"

const PAGE = 4096
const bytes = patterned(10 * PAGE + 100, 1)
const make = (budgetBytes = 4 * PAGE) => {
  const volume = MemoryVolume.of(bytes)
  const budget = new TableBudget(budgetBytes)
  return { volume, budget, pages: new TablePages(volume, budget, PAGE) }
}

it("misses at once and answers the page that holds the offset once it was loaded", async () => {
  const { pages, volume } = make()
  expect(lookUpSync(pages.page(PAGE + 7))).toBeUndefined()
  expect(Buffer.compare(await lookUp(pages.page(PAGE + 7)), bytes.subarray(PAGE, 2 * PAGE))).toBe(0)
  expect(lookUpSync(pages.page(2 * PAGE - 1))?.length).toBe(PAGE)
  expect(volume.counts.read).toBe(1)
})

it("loads a page once for many who ask at the same time", async () => {
  const { pages, volume } = make()
  const found = await Promise.all(Array.from({ length: 50 }, (_, i) => lookUp(pages.page(i))))
  expect(new Set(found).size).toBe(1)
  expect(volume.counts.read).toBe(1)
})

it("answers a short page at the end of the file", async () => {
  const { pages } = make()
  expect((await lookUp(pages.page(10 * PAGE + 99))).length).toBe(100)
})

it("keeps within its budget, and keeps what is asked for again and again", async () => {
  const { pages, budget, volume } = make()
  for (let i = 0; i < 10; i++) {
    await lookUp(pages.page(0))
    await lookUp(pages.page(i * PAGE))
    expect(budget.bytes).toBeLessThanOrEqual(4 * PAGE)
  }
  expect(volume.counts.read).toBe(10)
})

it("keeps the one page that is larger than the whole budget until the next comes", async () => {
  const { pages, budget } = make(1)
  await lookUp(pages.page(0))
  expect(budget.bytes).toBe(PAGE)
  await lookUp(pages.page(PAGE))
  expect(budget.bytes).toBe(PAGE)
  expect(lookUpSync(pages.page(0))).toBeUndefined()
})

it("asks again after a load that failed", async () => {
  let failures = 1
  const volume = MemoryVolume.of(bytes, {
    fails: () => {
      if (failures-- > 0) throw new Error("not now")
    },
  })
  const pages = new TablePages(volume, new TableBudget(PAGE), PAGE)
  await expect(lookUp(pages.page(0))).rejects.toThrow("not now")
  expect((await lookUp(pages.page(0))).length).toBe(PAGE)
})

it.each(["lowest first", "highest first"] as const)(
  "finds runs of equal bits, %s, across bytes and pages",
  async (order) => {
    const bits = Buffer.alloc(3 * PAGE)
    const is = (bit: number) =>
      (bit >= 5 && bit < 40) || (bit >= 8 * PAGE - 3 && bit < 16 * PAGE + 11) || bit === 17 * PAGE
    for (let bit = 0; bit < 8 * bits.length; bit++)
      if (is(bit)) bits[bit >> 3]! |= order === "lowest first" ? 1 << (bit & 7) : 0x80 >> (bit & 7)
    const at = 100
    const pages = new TablePages(MemoryVolume.of(Buffer.concat([Buffer.alloc(at), bits])), new TableBudget(PAGE), PAGE)
    const ends = [5, 40, 8 * PAGE - 3, 16 * PAGE + 11, 17 * PAGE, 17 * PAGE + 1, 24 * PAGE]
    for (const first of [
      0,
      4,
      5,
      7,
      8,
      39,
      40,
      64,
      8 * PAGE - 4,
      8 * PAGE - 3,
      8 * PAGE,
      16 * PAGE,
      17 * PAGE,
      24 * PAGE - 1,
    ])
      for (const last of [first + 1, first + 2, first + 8, first + 9, 24 * PAGE])
        if (last <= 24 * PAGE) {
          const end = Math.min(last, ends.find((one) => one > first)!)
          expect(await lookUp(bitRun(pages, at, first, last, order))).toEqual({ set: is(first), end })
        }
  },
)
