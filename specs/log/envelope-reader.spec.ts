/** Reading an envelope by what it shares with those before says what parsing it whole would, or parses it whole. */
import { expect, it } from "vitest"
import { canonicalJson } from "../../core/log/canonical.ts"
import { EnvelopeReader } from "../../core/log/envelope-reader.ts"
import { random } from "./support/random.ts"
import { commandId } from "./support/store.ts"

const event = {
  actor: { kind: "cli", name: "alice" },
  at: 1_795_000_000_001,
  command: commandId(1),
  data: { text: "Grüße", n: 1 } as unknown,
  position: 26,
  schemaVersion: 1,
  server: "srv1",
  type: "Noted",
}
const text = canonicalJson(event)

/** A reader that has read an event like these before. */
const primed = () => {
  const reader = new EnvelopeReader()
  reader.parse(text, 26)
  return reader
}
const outcome = (parse: () => unknown) => {
  try {
    return parse()
  } catch (e) {
    return (e as Error).name
  }
}

it.each([
  ["the same again", {}],
  ["another time and command", { at: 0, command: commandId(2) }],
  ["the largest time", { at: Number.MAX_SAFE_INTEGER }],
  [
    "data that looks like the rest of an envelope",
    { data: { x: ',"position":26,"schemaVersion":1,"server":"srv1","type":"Noted"}' } },
  ],
  ["data that is no object", { data: null }],
  ["data that is a text", { data: '","data":' }],
  ["data that is a number", { data: 5 }],
  ["another actor", { actor: { kind: "api", name: 'b"ob' } }],
  ["another type", { type: "Linked", schemaVersion: 12 }],
  ["another server", { server: "srv2" }],
  ["a wall clock that was behind", { wall: 5 }],
  ["data that is empty", { data: {} }],
  ["an actor that is none", { actor: null }],
  ["a schema version that is a text", { schemaVersion: "1" }],
  ["a type that is an object", { type: {} }],
  ["a command that is no UUID", { command: "x".repeat(36) }],
  ["a member that nobody knows", { zone: "x" }],
])("%s reads as parsed whole, at first and later", (_, more) => {
  const other = canonicalJson({ ...event, ...more })
  const reader = primed()
  expect(reader.parse(other, 26)).toEqual(JSON.parse(other))
  expect(reader.parse(other, 26)).toEqual(JSON.parse(other))
  expect(reader.parse(text, 26)).toEqual(JSON.parse(text))
})

it.each(["null", "5", "[]", "{}", '"x"', '{"actor":null}', '{"actor":{},"at":1}'])(
  "%s is what JSON.parse says",
  (other) => {
    expect(primed().parse(other, 26)).toEqual(JSON.parse(other))
  },
)

it("an event under another position tells its own", () => {
  expect(primed().parse(text, 27)).toEqual(event)
})

it("forgets the oldest fronts and backs, and reads on", () => {
  const reader = new EnvelopeReader()
  for (let round = 0; round < 2; round++) {
    for (let n = 0; n < 70; n++) {
      const other = { ...event, actor: { kind: "cli", name: `n${n}` }, type: `T${n}` }
      expect(reader.parse(canonicalJson(other), 26)).toEqual(other)
    }
  }
})

it("a text with any byte changed, left out or doubled is what JSON.parse says", () => {
  const reader = primed()
  for (let seed = 1; seed <= 400; seed++) {
    const { below } = random(seed)
    const at = below(text.length)
    const middle = [String.fromCharCode(32 + below(95)), "", text[at]! + text[at]!, " ", "}", ",", '"'][below(7)]!
    const other = text.slice(0, at) + middle + text.slice(at + 1)
    const read = outcome(() => reader.parse(other, 26))
    expect(read, `seed ${seed}: ${other}`).toEqual(outcome(() => JSON.parse(other)))
  }
})
