/** Persistent reservations as a state machine (SPC-4 §5.13): who may what, and what a change does to others. */
import { describe, expect, it } from "vitest"
import { type Effects, Reservations } from "../../adapters/scsi/reservations.ts"

const A = "iqn.2026-11.test:a,i,0x800000000001"
const B = "iqn.2026-11.test:b,i,0x800000000002"
const C = "iqn.2026-11.test:c,i,0x800000000003"
const quiet: Effects = { preempted: [], released: [], cleared: [], abort: [] }

/** A and B registered, C not. */
const registered = () => {
  const r = new Reservations()
  r.register(A, 0n, 1n, false)
  r.register(B, 0n, 2n, false)
  return r
}

describe("a reservation", () => {
  // type; may a registrant read and write; may a stranger
  it.each([
    [1, [true, false], [true, false]],
    [3, [false, false], [false, false]],
    [5, [true, true], [true, false]],
    [6, [true, true], [false, false]],
    [7, [true, true], [true, false]],
    [8, [true, true], [false, false]],
  ] as const)(
    "of type %i lets registrants and strangers read and write as the table says",
    (type, registrant, stranger) => {
      const r = registered()
      expect(r.reserve(A, 1n, type)).toEqual(quiet)
      const may = (port: string) => [!r.conflicts(port, false), !r.conflicts(port, true)]
      expect([may(A), may(B), may(C)]).toEqual([[true, true], registrant, stranger])
      expect([r.holds(A), r.holds(B), r.holds(C)]).toEqual([true, type >= 7, false])
    },
  )

  it("is taken by nobody without the right key, and by nobody else", () => {
    const r = registered()
    expect(r.reserve(C, 0n, 1)).toBe("conflict")
    expect(r.reserve(A, 2n, 1)).toBe("conflict")
    expect(r.reserve(A, 1n, 1)).toEqual(quiet)
    expect(r.reserve(A, 1n, 1)).toEqual(quiet)
    expect(r.reserve(A, 1n, 3)).toBe("conflict")
    expect(r.reserve(B, 2n, 1)).toBe("conflict")
  })

  it("is released by its holder, with its type; a shared one is told to the registrants", () => {
    const r = registered()
    r.reserve(A, 1n, 5)
    expect(r.release(B, 2n, 5)).toEqual(quiet)
    expect(r.held?.port).toBe(A)
    expect(r.release(A, 1n, 1)).toBe("invalid-release")
    expect(r.release(A, 1n, 5)).toEqual({ ...quiet, released: [B] })
    expect(r.held).toBeUndefined()
    expect(r.release(A, 1n, 5)).toEqual(quiet)
  })

  it("of all registrants ends with the last of them", () => {
    const r = registered()
    r.reserve(A, 1n, 7)
    r.register(A, 1n, 0n, false)
    expect(r.holds(B)).toBe(true)
    r.register(B, 2n, 0n, false)
    expect(r.held).toBeUndefined()
  })

  it("goes with the registration of its holder", () => {
    const r = registered()
    r.reserve(A, 1n, 6)
    expect(r.register(A, 1n, 0n, false)).toEqual({ ...quiet, released: [B] })
    expect(r.conflicts(C, true)).toBe(false)
  })
})

describe("a registration", () => {
  it("is made with key 0, changed with the old key, or with none when that is ignored", () => {
    const r = new Reservations()
    expect(r.register(A, 5n, 1n, false)).toBe("conflict")
    expect(r.register(A, 0n, 0n, false)).toEqual(quiet)
    expect(r.generation).toBe(0)
    expect(r.register(A, 0n, 1n, false)).toEqual(quiet)
    expect(r.register(A, 0n, 2n, false)).toBe("conflict")
    expect(r.register(A, 1n, 2n, false)).toEqual(quiet)
    expect(r.register(A, 99n, 3n, true)).toEqual(quiet)
    expect([r.generation, r.keys.get(A)]).toEqual([3, 3n])
  })

  it("is cleared with all others, who are told", () => {
    const r = registered()
    r.reserve(B, 2n, 3)
    expect(r.clear(C, 0n)).toBe("conflict")
    expect(r.clear(A, 1n)).toEqual({ ...quiet, cleared: [B] })
    expect([r.keys.size, r.held]).toEqual([0, undefined])
  })
})

describe("preempting", () => {
  it("takes the reservation and removes the registration of its holder", () => {
    const r = registered()
    r.reserve(B, 2n, 1)
    expect(r.preempt(A, 1n, 2n, 3, true)).toEqual({ ...quiet, preempted: [B], abort: [B] })
    expect([r.held, [...r.keys.keys()]]).toEqual([{ port: A, type: 3 }, [A]])
  })

  it("of a key that holds nothing removes registrations only", () => {
    const r = registered()
    r.register(C, 0n, 3n, false)
    r.reserve(A, 1n, 1)
    expect(r.preempt(A, 1n, 3n, 1, false)).toEqual({ ...quiet, preempted: [C] })
    expect(r.held).toEqual({ port: A, type: 1 })
    expect(r.preempt(A, 1n, 3n, 1, false)).toBe("conflict")
    expect(r.preempt(A, 1n, 0n, 1, false)).toBe("invalid-parameter")
  })

  it("of key 0 takes a reservation of all registrants from all of them", () => {
    const r = registered()
    r.reserve(A, 1n, 8)
    expect(r.preempt(B, 2n, 0n, 1, false)).toEqual({ ...quiet, preempted: [A], released: [] })
    expect([r.held, [...r.keys.keys()]]).toEqual([{ port: B, type: 1 }, [B]])
  })
})

it("moving gives the reservation to a port that may not be there yet", () => {
  const r = registered()
  r.reserve(A, 1n, 1)
  expect(r.move(B, 2n, C, 9n, false)).toBe("conflict")
  expect(r.move(A, 1n, A, 9n, false)).toBe("invalid-parameter")
  expect(r.move(A, 1n, C, 9n, true)).toEqual(quiet)
  expect([r.holds(C), r.keys.get(C), r.keys.has(A)]).toEqual([true, 9n, false])
})

it("what is kept reads back as it was", () => {
  const r = registered()
  r.reserve(A, 1n, 5)
  const again = new Reservations()
  again.restore(r.toJSON())
  expect([[...again.keys], again.held, again.persists]).toEqual([[...r.keys], r.held, true])
})
