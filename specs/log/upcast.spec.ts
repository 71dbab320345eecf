import { describe, expect, it } from "vitest"
import type { Recorded } from "../../core/log/event-log.ts"
import { makeUpcaster } from "../../core/log/upcast.ts"

const event = (type: string, schemaVersion: number, data: unknown): Recorded => ({
  actor: { kind: "cli", name: "alice" },
  at: 1,
  command: "c",
  data,
  position: 7,
  schemaVersion,
  server: "s",
  type,
})

const upcaster = makeUpcaster({
  current: { Sized: 3, Noted: 1 },
  steps: {
    Sized: {
      1: (d) => ({ sizeBytes: (d as { sizeMiB: number }).sizeMiB * 1048576 }),
      2: (d) => ({ sizeBytes: String((d as { sizeBytes: number }).sizeBytes) }),
    },
  },
})

describe("upcasting", () => {
  it("an event in its current shape is handed on as it is", () => {
    const now = event("Noted", 1, { text: "x" })
    expect(upcaster.upcast(now)).toBe(now)
  })

  it("an old event goes through every step in order, and its envelope stays", () => {
    expect(upcaster.upcast(event("Sized", 1, { sizeMiB: 2 }))).toEqual(event("Sized", 3, { sizeBytes: "2097152" }))
    expect(upcaster.upcast(event("Sized", 2, { sizeBytes: 5 }))).toEqual(event("Sized", 3, { sizeBytes: "5" }))
  })

  it.each([
    ["a type nobody knows", event("Gone", 1, {})],
    ["a type named like a member of every object", event("constructor", 1, {})],
    ["a version one past the current", event("Sized", 4, {})],
    ["version 0", event("Sized", 0, {})],
    ["a version that is no whole number", event("Sized", 1.5, {})],
  ])("%s is EVENT_UNKNOWN", (_name, unknown) => {
    expect(() => upcaster.upcast(unknown)).toThrow(expect.objectContaining({ code: "EVENT_UNKNOWN" }))
  })

  it("a hole in the steps is refused when the table is made", () => {
    expect(() => makeUpcaster({ current: { A: 3 }, steps: { A: { 1: (d) => d } } })).toThrow(
      "no step from schemaVersion 2 to 3",
    )
    expect(() => makeUpcaster({ current: {}, steps: { B: {} } })).toThrow("unknown type")
    expect(() => makeUpcaster({ current: { A: 0 } })).toThrow("counts from 1")
  })
})
