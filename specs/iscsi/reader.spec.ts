/** Large PDUs that come in part are held within a budget of all connections. */
import { expect, it } from "vitest"
import { ServerBudget } from "../../adapters/iscsi/budget.ts"
import { PduReader } from "../../adapters/iscsi/reader.ts"
import { Slabs } from "../../core/slab-output.ts"

const slabBytes = 64 * 1024
const pduOf = (bytes: number): Buffer => {
  const b = Buffer.alloc(48 + bytes, 7)
  b.fill(0, 0, 48)
  b.writeUIntBE(bytes, 5, 3)
  return b
}
const readerWith = (budget: ServerBudget) => {
  const got: Array<number> = []
  const lost: Array<string> = []
  const receiver = {
    mayTake: () => true,
    pdu: (_head: Uint8Array, _h: number, _data: Uint8Array, _d: number, bytes: number) => void got.push(bytes),
    lostSync: (why: string) => void lost.push(why),
    badData: () => {},
  }
  return { got, lost, reader: new PduReader(receiver, new Slabs(slabBytes, 1), 32_768, budget) }
}

it("the one beyond it is cut off, the others go on, and what was whole or stopped gives back", () => {
  const budget = new ServerBudget(2 * slabBytes)
  const [first, second, third] = [readerWith(budget), readerWith(budget), readerWith(budget)]
  const large = pduOf(20_000)
  for (const { reader } of [first, second]) reader.feed(large, 0, 1000)
  expect(budget.bytes).toBe(2 * slabBytes)
  third.reader.feed(large, 0, 1000)
  expect([third.lost.length, first.lost, second.lost]).toEqual([1, [], []])
  first.reader.feed(large, 1000, large.length)
  expect([first.got, budget.bytes]).toEqual([[20_000], slabBytes])
  second.reader.stop()
  expect(budget.bytes).toBe(0)
})

it("small ones, and large ones that come whole, take nothing of it", () => {
  const none = readerWith(new ServerBudget(0))
  const small = pduOf(1000)
  none.reader.feed(small, 0, 100)
  none.reader.feed(small, 100, small.length)
  const large = pduOf(20_000)
  none.reader.feed(large, 0, large.length)
  expect([none.got, none.lost]).toEqual([[1000, 20_000], []])
})
