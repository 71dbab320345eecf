import { expect, it } from "vitest"
import { ReadAhead } from "../../../plugins/remote/read-ahead.ts"
import { randomFrom } from "../../conformance/support/bytes.ts"

/** Blocks that are asked for ahead, one read of one block after the other. */
const asked = (ahead: ReadAhead, blocks: ReadonlyArray<number>, isMissed = true) =>
  blocks.map((block) => {
    const { from, to } = ahead.heard(block, block + 1, isMissed)
    return to > from ? [from, to - 1] : []
  })

it("a sequential reader is read ahead of, twice as far each time, up to 4 MiB, and nothing twice", () => {
  const ahead = new ReadAhead()
  const runs = asked(ahead, [...Array(300).keys()]).filter((run) => run.length > 0)
  expect(runs.slice(0, 5)).toEqual([
    [1, 3],
    [4, 6],
    [7, 12],
    [13, 24],
    [25, 48],
  ])
  let next = 1
  for (const [from, last] of runs) {
    expect([from, last! - from! < 64]).toEqual([next, true])
    next = last! + 1
  }
})

it("a long read that begins a stream has nothing brought along, and one just short of 256 KiB the rest of that", () => {
  const begun = (blocks: number) => new ReadAhead().heard(10, 10 + blocks, true)
  expect([1, 3, 4, 256].map(begun)).toEqual([
    { from: 11, to: 14 },
    { from: 13, to: 14 },
    { from: 14, to: 14 },
    { from: 266, to: 266 },
  ])
})

it("several readers side by side are told apart", () => {
  const ahead = new ReadAhead()
  for (let i = 0; i < 8; i++) for (const start of [0, 1000, 2000, 3000]) asked(ahead, [start + i])
  expect(asked(ahead, [8, 1008])).toEqual(
    asked(new ReadAhead(), [...Array(9).keys()])
      .slice(8)
      .flatMap((run) => [run, run.map((n) => n + 1000)]),
  )
})

it("a read of what is there, which begins a stream, has nothing brought along; what follows it has", () => {
  const ahead = new ReadAhead()
  expect(asked(ahead, [100], false)).toEqual([[]])
  expect(asked(ahead, [101], false)).toEqual([[102, 105]])
})

it("random reads have nothing brought along after a while, and streams have again when they go on", () => {
  const ahead = new ReadAhead()
  const random = randomFrom(4)
  const far = () => Math.floor(random() * 2 ** 30)
  expect(asked(ahead, [far()])[0]).toHaveLength(2)
  asked(ahead, Array.from({ length: 40 }, far))
  expect(asked(ahead, Array.from({ length: 100 }, far)).every((run) => run.length === 0)).toBe(true)
  for (let i = 0; i < 40; i++) {
    const start = far()
    asked(ahead, [start, start + 1])
  }
  expect(asked(ahead, [far()])[0]).toHaveLength(2)
})
