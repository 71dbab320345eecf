import { expect, it } from "vitest"
import { closeEach } from "../../core/runtime/close-each.ts"

const closers = (order: Array<string>, failing: ReadonlyArray<string>) =>
  ["a", "b", "c"].map((name) => async () => {
    order.push(name)
    if (failing.includes(name)) throw new Error(name)
  })

it("closes all, in order, and answers with the first error", async () => {
  const order: Array<string> = []
  await expect(closeEach(closers(order, ["a", "b"]))).rejects.toThrow("a")
  expect(order).toEqual(["a", "b", "c"])
})

it("closes nothing, and all, without an error", async () => {
  await closeEach([])
  const order: Array<string> = []
  await closeEach(closers(order, []))
  expect(order).toEqual(["a", "b", "c"])
})
