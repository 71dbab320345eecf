import { describe, expect, it } from "vitest"
import { compareNatural } from "../../core/domain/natural.ts"
import { nearest } from "../../core/domain/nearest.ts"
import { expandRange, nextName } from "../../core/domain/numbered.ts"
import { random } from "../support/random.ts"

const names = (text: string, max = 1000) => {
  const expanded = expandRange(text, max)
  return "names" in expanded ? expanded.names : expanded.why
}

describe("a range", () => {
  it("without braces is the text itself", () => {
    expect(names("PC-001")).toEqual(["PC-001"])
    expect(names("")).toEqual([""])
  })
  it("spells out every number, both ends included", () => {
    expect(names("PC-{001..003}")).toEqual(["PC-001", "PC-002", "PC-003"])
    expect(names("PC-{7..7}")).toEqual(["PC-7"])
    expect(names("row{1..2}-a")).toEqual(["row1-a", "row2-a"])
    expect(names("{0..1}")).toEqual(["0", "1"])
  })
  it("is as wide as its wider end when an end has a leading zero, else as wide as each number", () => {
    expect(names("{9..11}")).toEqual(["9", "10", "11"])
    expect(names("{09..11}")).toEqual(["09", "10", "11"])
    expect(names("{09..100}")).toHaveLength(92)
    expect(names("{09..100}")[0]).toBe("009")
    expect(names("{1..003}")).toEqual(["001", "002", "003"])
  })
  it("is refused when it names one more than fit, before any name is made", () => {
    expect(names("{1..3}", 3)).toHaveLength(3)
    expect(names("{1..4}", 3)).toBe("the range {1..4} names 4 clients; at most 3 fit in one command")
    expect(names("{0..999999999}", 3)).toContain("names 1000000000 clients")
  })
  it("is refused backwards", () => {
    expect(names("PC-{3..1}")).toBe("the range PC-{3..1} runs backwards")
  })
  it.each(["{", "}", "PC-{1..}", "PC-{..3}", "PC-{1-3}", "PC-{a..c}", "{1..2}{1..2}", "PC-{1..2", "{1..1234567890}"])(
    "is refused as %s",
    (text) => {
      expect(names(text)).toContain("is not a range")
    },
  )
})

describe("the next name", () => {
  const free = () => false
  it("counts on, as wide as it was", () => {
    expect(nextName("PC-000", free)).toBe("PC-001")
    expect(nextName("PC-099", free)).toBe("PC-100")
    expect(nextName("PC-100", free)).toBe("PC-101")
    expect(nextName("PC-9", free)).toBe("PC-10")
  })
  it("grows wider when it must", () => {
    expect(nextName("PC-999", free)).toBe("PC-1000")
    expect(nextName("999999999", free)).toBe("1000000000")
  })
  it("skips what is taken, in any case", () => {
    const taken = new Set(["pc-002", "pc-003"])
    expect(nextName("PC-001", (key) => taken.has(key))).toBe("PC-004")
  })
  it("begins at 2 for a name without a number", () => {
    expect(nextName("teacher", free)).toBe("teacher-2")
  })
  it("never reads as a MAC", () => {
    expect(nextName("aaaaaaaaa99", free)).toBe("aaaaaaaaa1000")
  })
  it("ends where a name would be too long", () => {
    expect(nextName(`${"x".repeat(61)}98`, free)).toBe(`${"x".repeat(61)}99`)
    expect(nextName(`${"x".repeat(61)}99`, free)).toBeUndefined()
    expect(nextName("x".repeat(63), free)).toBeUndefined()
  })
  it("is never asked of what is no name, because that would not end", () => {
    expect(() => nextName("a b", free)).toThrow("valid name")
  })
})

describe("natural order", () => {
  it("sorts numbers as numbers, and letters without regard to case", () => {
    const sorted = ["PC-10", "pc-2", "PC-1", "PC-001", "AB", "aa", "PC", "PC-2x", "PC-02"].sort(compareNatural)
    expect(sorted).toEqual(["aa", "AB", "PC", "PC-001", "PC-1", "PC-02", "pc-2", "PC-2x", "PC-10"])
  })
  it("holds for numbers longer than a double", () => {
    expect(compareNatural("a99999999999999999999", "a99999999999999999998")).toBeGreaterThan(0)
    expect(compareNatural("a100000000000000000000", "a99999999999999999999")).toBeGreaterThan(0)
  })
  it("is a total order", () => {
    const seed = 20_261
    const r = random(seed)
    const text = () => Array.from({ length: r.below(6) }, () => r.pick([..."0019aAbB-"])).join("")
    for (let i = 0; i < 5000; i++) {
      const [a, b, c] = [text(), text(), text()]
      const said = `seed ${seed}: ${JSON.stringify([a, b, c])}`
      expect(Math.sign(compareNatural(a, b)), said).toBe(-Math.sign(compareNatural(b, a)) + 0)
      expect(compareNatural(a, b) === 0, said).toBe(a === b)
      if (compareNatural(a, b) < 0 && compareNatural(b, c) < 0) expect(compareNatural(a, c), said).toBeLessThan(0)
    }
  })
})

describe("the nearest name", () => {
  it("is a slip away: a letter wrong, missing, too many or two swapped", () => {
    for (const typed of ["win12", "wn11", "win111", "wni11", "WIN12"])
      expect(nearest(typed, ["debian", "win11"]), typed).toBe("win11")
  })
  it("is nobody when it takes more than one slip in three letters", () => {
    expect(nearest("wxyz1", ["win11"])).toBeUndefined()
    expect(nearest("ab", ["xy"])).toBeUndefined()
    expect(nearest("anything", [])).toBeUndefined()
    expect(nearest("", ["ab"])).toBeUndefined()
  })
  it("is the first in natural order among equally near ones, whatever order they come in", () => {
    expect(nearest("PC-00", ["PC-10", "PC-01", "PC-2"])).toBe("PC-01")
    expect(nearest("PC-00", ["PC-01", "PC-10", "PC-2"])).toBe("PC-01")
  })
  it("prefers the nearer one", () => {
    expect(nearest("debain", ["debby", "debian"])).toBe("debian")
  })
})
