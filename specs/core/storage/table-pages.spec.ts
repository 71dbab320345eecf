/** Table pages: one load however many ask, short at the end, and never more than the budget. */
import { expect, it } from "vitest"
import { lookUp, lookUpSync, TableBudget, TablePages } from "../../../core/storage/table-pages.ts"
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
