import { expect, it } from "vitest"
import { ABSENT, DATA, HOT, PAGE_GRAINS, ZERO } from "../../../core/block/overlay/geometry.ts"
import {
  countStates,
  heatStates,
  MapPage,
  runEnd,
  setStates,
  stateOf,
  takeSector,
} from "../../../core/block/overlay/page.ts"
import { random } from "../../support/random.ts"

it("does with two bits what an array does with numbers, over 50 seeded runs", () => {
  for (let seed = 1; seed <= 50; seed++) {
    const r = random(seed)
    const page = new MapPage(0)
    const model = new Array<number>(64).fill(ABSENT)
    for (let i = 0; i < 30; i++) {
      const from = r.int(64)
      const to = from + 1 + r.int(64 - from)
      const state = r.int(4)
      if (r.chance(0.2)) {
        heatStates(page, from, to)
        for (let g = from; g < to; g++) if (model[g] === DATA) model[g] = HOT
      } else {
        setStates(page.states, from, to, state)
        model.fill(state, from, to)
      }
      expect(
        Array.from({ length: 64 }, (_, g) => stateOf(page, g)),
        `seed ${seed}`,
      ).toEqual(model)
      const limit = 1 + r.int(64)
      const grain = r.int(limit)
      let end = grain + 1
      while (end < limit && model[end] === model[grain]) end++
      expect(runEnd(page, grain, limit), `seed ${seed}`).toBe(end)
      const inside = model.slice(from, to)
      expect(countStates(page, from, to, ZERO)).toBe(inside.filter((s) => s === ZERO).length)
      expect(countStates(page, from, to, DATA)).toBe(inside.filter((s) => s === DATA || s === HOT).length)
    }
  }
})

it("runs to the very end of a page and no further", () => {
  const page = new MapPage(0)
  expect(runEnd(page, 0, PAGE_GRAINS)).toBe(PAGE_GRAINS)
  setStates(page.states, PAGE_GRAINS - 1, PAGE_GRAINS, HOT)
  expect(runEnd(page, 0, PAGE_GRAINS)).toBe(PAGE_GRAINS - 1)
  expect(runEnd(page, PAGE_GRAINS - 1, PAGE_GRAINS)).toBe(PAGE_GRAINS)
})

it("takes a sector out with hot as data, for each of the 256 bytes of four states", () => {
  const page = new MapPage(0)
  for (let i = 0; i < 256; i++) page.states[256 + i] = i
  const payload = Buffer.alloc(256)
  takeSector(page, 1, payload, 0)
  for (let g = 0; g < 1024; g++) {
    const state = stateOf(page, 1024 + g)
    expect((payload[g >> 2]! >> ((g & 3) * 2)) & 3).toBe(state === HOT ? DATA : state)
  }
})
