import { expect, it } from "vitest"
import { BootTurns } from "../../core/runtime/boot-turns.ts"

/** Work that says when it begins, and goes on when it is told. */
const bench = () => {
  const turns = new BootTurns()
  const said: Array<string> = []
  const ends = new Map<string, () => void>()
  const work = (name: string) => () =>
    new Promise<string>((resolve) => {
      said.push(name)
      ends.set(name, () => resolve(name))
    })
  const settled = () => new Promise<void>((resolve) => setImmediate(resolve))
  return { turns, said, work, settled, end: (name: string) => ends.get(name)!() }
}

it("logins of a client go together, and a new boot alone, in the order in which they came", async () => {
  const { turns, said, work, settled, end } = bench()
  const all = [
    turns.shared("PC", work("a")),
    turns.shared("PC", work("b")),
    turns.alone("PC", work("boot 1")),
    turns.shared("PC", work("c")),
    turns.alone("PC", work("boot 2")),
    turns.shared("PC", work("d")),
  ]
  await settled()
  expect(said).toEqual(["a", "b"])
  end("b")
  await settled()
  expect(said).toEqual(["a", "b"])
  for (const [ended, begun] of [
    ["a", "boot 1"],
    ["boot 1", "c"],
    ["c", "boot 2"],
    ["boot 2", "d"],
  ] as const) {
    end(ended)
    await settled()
    expect(said.at(-1)).toBe(begun)
  }
  end("d")
  expect(await Promise.all(all)).toEqual(["a", "b", "boot 1", "c", "boot 2", "d"])
})

it("another client waits for nobody", async () => {
  const { turns, said, work, settled, end } = bench()
  const first = turns.alone("PC", work("PC"))
  const second = turns.alone("other", work("other"))
  await settled()
  expect(said).toEqual(["PC", "other"])
  for (const name of said) end(name)
  await Promise.all([first, second])
})

it("work that fails lets the next begin, and tells only its own caller", async () => {
  const { turns } = bench()
  const failing = async () => Promise.reject(new Error("no disk"))
  const [a, b, c] = [turns.shared("PC", failing), turns.alone("PC", failing), turns.shared("PC", async () => "c")]
  expect((await Promise.allSettled([a, b, c])).map((r) => r.status)).toEqual(["rejected", "rejected", "fulfilled"])
})
