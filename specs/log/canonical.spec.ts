import { AssertionError } from "node:assert"
import { describe, expect, it } from "vitest"
import { canonicalBytes, canonicalJson } from "../../core/log/canonical.ts"

const double = (hex: string): number => Buffer.from(hex, "hex").readDoubleBE(0)

describe("canonical JSON", () => {
  const sample = {
    numbers: [Number("333333333.33333329"), 1e30, 4.5, 2e-3, 0.000000000000000000000000001],
    string: "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"/",
    literals: [null, true, false],
  }

  it("writes the example of RFC 8785 §3.2.2 as §3.2.3 prints it", () => {
    expect(canonicalJson(sample)).toBe(
      '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}',
    )
  })

  it("writes the same example as the bytes of §3.2.4", () => {
    expect(Buffer.from(canonicalBytes(sample)).toString("hex")).toBe(
      "7b226c69746572616c73223a5b6e756c6c2c747275652c66616c73655d2c226e756d62657273223a5b3333333333333333332e33333333333333" +
        "2c31652b33302c342e352c302e3030322c31652d32375d2c22737472696e67223a22e282ac245c75303030665c6e4127425c225c5c5c5c5c222f227d",
    )
  })

  it("sorts members by UTF-16 code units, as the example of §3.2.3", () => {
    const sorted = canonicalJson({
      "\u20ac": "Euro Sign",
      "\r": "Carriage Return",
      "\ufb33": "Hebrew Letter Dalet With Dagesh",
      "1": "One",
      "\ud83d\ude00": "Emoji: Grinning Face",
      "\u0080": "Control",
      "\u00f6": "Latin Small Letter O With Diaeresis",
    })
    expect(Object.values(JSON.parse(sorted) as object).length).toBe(7)
    expect([...sorted.matchAll(/:"([^"]*)"/g)].map((m) => m[1])).toEqual([
      "Carriage Return",
      "One",
      "Control",
      "Latin Small Letter O With Diaeresis",
      "Euro Sign",
      "Emoji: Grinning Face",
      "Hebrew Letter Dalet With Dagesh",
    ])
  })

  it.each([
    ["0000000000000000", "0"],
    ["8000000000000000", "0"],
    ["0000000000000001", "5e-324"],
    ["8000000000000001", "-5e-324"],
    ["7fefffffffffffff", "1.7976931348623157e+308"],
    ["ffefffffffffffff", "-1.7976931348623157e+308"],
    ["4340000000000000", "9007199254740992"],
    ["c340000000000000", "-9007199254740992"],
    ["4430000000000000", "295147905179352830000"],
    ["44b52d02c7e14af5", "9.999999999999997e+22"],
    ["44b52d02c7e14af6", "1e+23"],
    ["44b52d02c7e14af7", "1.0000000000000001e+23"],
    ["444b1ae4d6e2ef4e", "999999999999999700000"],
    ["444b1ae4d6e2ef4f", "999999999999999900000"],
    ["444b1ae4d6e2ef50", "1e+21"],
    ["3eb0c6f7a0b5ed8c", "9.999999999999997e-7"],
    ["3eb0c6f7a0b5ed8d", "0.000001"],
    ["41b3de4355555553", "333333333.3333332"],
    ["41b3de4355555554", "333333333.33333325"],
    ["41b3de4355555555", "333333333.3333333"],
    ["41b3de4355555556", "333333333.3333334"],
    ["41b3de4355555557", "333333333.33333343"],
    ["becbf647612f3696", "-0.0000033333333333333333"],
    ["43143ff3c1cb0959", "1424953923781206.2"],
  ])("writes the double %s of Appendix B as %s", (hex, text) => {
    expect(canonicalJson(double(hex))).toBe(text)
  })

  it.each([
    ["empty object", {}, "{}"],
    ["empty array", [], "[]"],
    ["empty string", "", '""'],
    ["object without a prototype", Object.assign(Object.create(null), { b: 1, a: 2 }), '{"a":2,"b":1}'],
    ["member names that look like numbers", { 10: "x", 9: "y" }, '{"10":"x","9":"y"}'],
    ["a name that needs an escape", { '"': 1 }, '{"\\"":1}'],
    ["DEL and U+2028, which need no escape", "\u007f\u2028", '"\u007f\u2028"'],
  ])("writes %s", (_name, value, text) => {
    expect(canonicalJson(value)).toBe(text)
  })

  const cycle: Record<string, unknown> = {}
  cycle.self = cycle
  it.each([
    ["NaN", double("7fffffffffffffff")],
    ["Infinity", double("7ff0000000000000")],
    ["a lone high surrogate", "\ud800"],
    ["a lone low surrogate in a name", { "\udc00x": 1 }],
    ["undefined", undefined],
    ["an undefined member", { a: undefined }],
    ["a hole in an array", new Array(1)],
    ["a bigint", 1n],
    ["a function", () => 1],
    ["a symbol", Symbol("s")],
    ["a Date", new Date(0)],
    ["a Map", new Map()],
    ["bytes", new Uint8Array(1)],
    ["a cycle", cycle],
  ])("refuses %s", (_name, value) => {
    expect(() => canonicalJson({ value })).toThrow(AssertionError)
  })
})
