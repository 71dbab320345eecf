import { describe, expect, it } from "vitest"
import { clientId, copy, given, givenVersions, imageAdded, linked, mac, registered, to } from "../support/domain.ts"

const win = imageAdded(1)
const games = imageAdded(2, "games")
const target = (n: number, name?: string) => ({
  clientId: clientId(n),
  mac: mac(n),
  ...(name === undefined ? {} : { name }),
})
const source = [
  win,
  games,
  registered(1, "PC-100", "10.0.0.1"),
  linked(1, 1, to(2, "games", 1, "keep"), null, "PC-100"),
  linked(1, 0, to(1), null, "PC-100"),
]

describe("copying a client", () => {
  it("gives every target the links of all slots, and numbers names on", () => {
    given(...source)
      .when(copy("pc-100", [target(2), target(3, "teacher"), target(4)]))
      .then([
        registered(2, "PC-101"),
        linked(2, 0, to(1), null, "PC-101"),
        linked(2, 1, to(2, "games", 1, "keep"), null, "PC-101"),
        registered(3, "teacher"),
        linked(3, 0, to(1), null, "teacher"),
        linked(3, 1, to(2, "games", 1, "keep"), null, "teacher"),
        registered(4, "PC-102"),
        linked(4, 0, to(1), null, "PC-102"),
        linked(4, 1, to(2, "games", 1, "keep"), null, "PC-102"),
      ])
  })
  it("skips numbers that a client has or the command gives", () => {
    given(registered(1, "PC-001"), registered(9, "pc-002"))
      .when(copy("PC-001", [target(2), target(3, "PC-003")]))
      .then([registered(2, "PC-004"), registered(3, "PC-003")])
  })
  it("to nobody, to itself or again changes nothing", () => {
    given(...source)
      .when(copy("PC-100", []))
      .then([])
    given(...source)
      .when(copy("PC-100", [target(1)]))
      .then([])
    given(registered(1), registered(2, "PC-002"))
      .when(copy("PC-001", [target(2)]))
      .then([])
  })
  it("to a client that is there changes its links, and leaves its other slots", () => {
    const before = [linked(2, 0, to(2, "games"), null, "PC-2"), linked(2, 7, to(2, "games"), null, "PC-2")]
    given(...source, registered(2, "PC-2"), ...before)
      .when(copy("PC-100", [target(2)]))
      .then([linked(2, 0, to(1), to(2, "games"), "PC-2"), linked(2, 1, to(2, "games", 1, "keep"), null, "PC-2")])
  })
  it("to a client with kept writes over something else is refused", () => {
    const before = [registered(2), linked(2, 0, to(2, "games", null, "keep"))]
    given(...source, ...before)
      .when(copy("PC-100", [target(2)]))
      .refused("OVERLAY_KEPT")
  })
  it("of a link that follows takes the current version, even from a kept one that stayed behind", () => {
    const keep = to(1, "win11", null, "keep")
    givenVersions("win11", 2, win, registered(1), linked(1, 0, keep))
      .when(copy("PC-001", [target(2)]))
      .then([registered(2), linked(2, 0, { ...keep, version: 2 })])
  })
  it("from nobody is refused", () => {
    given()
      .when(copy("PC-001", [target(2)]))
      .refused("CLIENT_NOT_FOUND")
  })
  it("refuses targets that repeat a MAC, name or id", () => {
    const repeated = (...targets: ReadonlyArray<ReturnType<typeof target>>) =>
      given(...source).when(copy("PC-100", targets))
    repeated(target(2), target(2)).refused("CLIENT_MAC_TAKEN")
    repeated(target(2, "x"), target(3, "X")).refused("CLIENT_NAME_TAKEN")
    repeated(target(2), { ...target(3), clientId: clientId(2) }).refused("ID_TAKEN")
  })
  it("names every target it refuses", () => {
    const refused = given(...source)
      .when(copy("PC-100", [target(2, "a b"), target(3), target(4, "pc-100")]))
      .refused("CLIENT_NAME_INVALID")
    expect(refused.details).toEqual([
      `"a b" cannot be a client's name`,
      `the name pc-100 belongs to another client (${mac(1)})`,
    ])
  })
  it("refuses to number on past the longest name", () => {
    given(registered(1, "x".repeat(63)))
      .when(copy("x".repeat(63), [target(2)]))
      .refused("CLIENT_NAME_INVALID")
  })
})
