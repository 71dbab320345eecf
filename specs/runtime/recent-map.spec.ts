/** A map that stays within its size, and keeps what is in use. */
import { expect, it } from "vitest"
import { RecentMap } from "../../core/runtime/recent-map.ts"

const keys = (map: RecentMap<string>) => [...map.values()]

it("forgets what was set longest ago, once it is over its size and not before", () => {
  const map = new RecentMap<string>(2)
  map.set("a", "a")
  map.set("b", "b")
  expect(keys(map)).toEqual(["a", "b"])
  map.set("a", "a2")
  map.set("c", "c")
  expect(keys(map)).toEqual(["a2", "c"])
  map.delete("a")
  expect([map.get("a"), map.size]).toEqual([undefined, 1])
})

it("keeps what is in use, whatever comes after it, and is then as large as that", () => {
  const used = new Set(["a", "b"])
  const map = new RecentMap<string>(2, (value) => used.has(value))
  for (const key of ["a", "b", "c"]) map.set(key, key)
  expect(keys(map)).toEqual(["a", "b"])
  used.add("d")
  map.set("d", "d")
  expect(keys(map)).toEqual(["a", "b", "d"])
  used.clear()
  map.set("e", "e")
  expect(keys(map)).toEqual(["b", "d", "e"])
})
