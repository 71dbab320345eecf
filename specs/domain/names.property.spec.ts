/** What holds of names whatever they are; a failing case is shrunk, and its seed replays it. */
import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { expect } from "vitest"
import { nameKey, parseMac, readsAsMac } from "../../core/domain/names.ts"
import { whyNotPlain } from "../../core/domain/plain.ts"
import { canonicalJson } from "../../core/log/canonical.ts"

const Byte = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 255 }))
const Mac = Schema.Tuple([Byte, Byte, Byte, Byte, Byte, Byte])

/** A station's address: neither a group's nor all zero. */
const station = (bytes: ReadonlyArray<number>) => [bytes[0]! & 0xfe, ...bytes.slice(1, 5), bytes[5]! | 1]
const hex = (bytes: ReadonlyArray<number>) => bytes.map((b) => b.toString(16).padStart(2, "0"))

describe("a MAC address", () => {
  it.effect.prop("is the same in every usual spelling", [Mac], ([bytes]) =>
    Effect.sync(() => {
      const h = hex(station(bytes))
      const canonical = h.join(":")
      const spellings = [canonical, h.join("-"), h.join(""), `${h[0]}${h[1]}.${h[2]}${h[3]}.${h[4]}${h[5]}`]
      for (const text of spellings) {
        expect(parseMac(text)).toBe(canonical)
        expect(parseMac(text.toUpperCase())).toBe(canonical)
        expect(readsAsMac(text)).toBe(true)
      }
    }),
  )

  it.effect.prop("of a group is none", [Mac], ([bytes]) =>
    Effect.sync(() => {
      expect(parseMac(hex([bytes[0]! | 1, ...bytes.slice(1)]).join(":"))).toBeUndefined()
    }),
  )
})

describe("a name's key", () => {
  it.effect.prop("is its own key, whatever the case was", [Schema.String], ([name]) =>
    Effect.sync(() => {
      expect(nameKey(nameKey(name))).toBe(nameKey(name))
    }),
  )
})

describe("canonical JSON", () => {
  it.effect.prop(
    "reads back as what was written, and writes that the same",
    [Schema.Record(Schema.String, Schema.Int)],
    ([value]) =>
      Effect.sync(() => {
        // Keys that would be refused have no place in a log: plain.ts says why.
        const plain = Object.fromEntries(
          Object.entries(value).filter(([key]) => whyNotPlain({ [key]: 0 }) === undefined),
        )
        const text = canonicalJson(plain)
        expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(plain)))
        expect(canonicalJson(JSON.parse(text))).toBe(text)
      }),
  )
})
