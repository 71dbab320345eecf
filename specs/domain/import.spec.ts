import { describe, expect, it } from "vitest"
import type { DomainEvent } from "../../core/domain/events.ts"
import { clientId, given, imageAdded, importRows, linked, mac, pc, registered, to } from "../support/domain.ts"

const win = imageAdded(1)
const deb = imageAdded(2, "debian")
const row = (n: number, more = {}) => ({ clientId: clientId(n), mac: mac(n), name: pc(n), ...more })

describe("an import", () => {
  it("registers and links row by row", () => {
    given(win)
      .when(importRows([row(1, { address: "10.0.0.1" }), row(2)], "win11"))
      .then([registered(1, "PC-001", "10.0.0.1"), linked(1, 0, to(1)), registered(2), linked(2, 0, to(1))])
  })
  it("of 100 rows is 200 events", () => {
    const numbers = Array.from({ length: 100 }, (_, i) => i + 1)
    const expected = numbers.flatMap((n): Array<DomainEvent> => [registered(n), linked(n, 0, to(1))])
    given(win)
      .when(
        importRows(
          numbers.map((n) => row(n)),
          "win11",
        ),
      )
      .then(expected)
    given(win, ...expected)
      .when(
        importRows(
          numbers.map((n) => row(n)),
          "win11",
        ),
      )
      .then([])
  })
  it("of no rows changes nothing", () => {
    given().when(importRows([])).then([])
  })
  it("links a row to its own image rather than the command's", () => {
    given(win, deb)
      .when(importRows([row(1, { image: "debian@1" })], "win11"))
      .then([registered(1), linked(1, 0, to(2, "debian", 1))])
  })
  it("without any image only registers", () => {
    given()
      .when(importRows([row(1)]))
      .then([registered(1)])
  })
  it("trims cells, and takes an empty one as left out", () => {
    const spaced = { clientId: clientId(1), mac: ` ${mac(1)} `, name: "\tPC-001 ", address: "  ", image: "" }
    given(win)
      .when(importRows([spaced], " win11 "))
      .then([registered(1), linked(1, 0, to(1))])
  })
  it("gives rows without a name numbers that nobody in the file or the catalogue has", () => {
    const unnamed = (n: number) => ({ clientId: clientId(n), mac: mac(n) })
    given(registered(9, "PC-003"))
      .when(importRows([unnamed(1), unnamed(2), row(3, { name: "pc-001" }), unnamed(4)]))
      .then([registered(1, "PC-002"), registered(2, "PC-004"), registered(3, "pc-001"), registered(4, "PC-005")])
  })
})

describe("a row that is registered already", () => {
  it("is linked if it is not", () => {
    given(win, registered(1))
      .when(importRows([row(1)], "win11"))
      .then([linked(1, 0, to(1))])
    given(win, registered(1, "PC-001", "10.0.0.1"))
      .when(importRows([row(1)], "win11"))
      .then([linked(1, 0, to(1))])
  })
  it("is linked elsewhere if it says so, with its policy", () => {
    given(win, deb, registered(1), linked(1, 0, to(1)))
      .when(importRows([row(1)], "debian"))
      .then([linked(1, 0, to(2, "debian"), to(1))])
  })
  it("keeps its link if it names no image", () => {
    given(win, registered(1), linked(1, 0, to(1)))
      .when(importRows([row(1)]))
      .then([])
  })
})

describe("a bad row", () => {
  const details = (before: ReadonlyArray<DomainEvent>, rows: Parameters<typeof importRows>[0], image?: string) =>
    given(...before)
      .when(importRows(rows, image))
      .refused("IMPORT_REJECTED").details

  it("rejects the whole file, and the count is of bad lines", () => {
    const refused = given(win)
      .when(importRows([row(1), row(2, { mac: "x" }), row(3)], "win11"))
      .refused("IMPORT_REJECTED")
    expect(refused.message).toBe("lab.csv: 1 of 3 rows cannot be imported; nothing was imported")
    expect(refused.details).toEqual(['line 3: "x" is not a MAC address'])
  })
  it("is named for every reason it has", () => {
    expect(details([], [row(1, { mac: "", name: "a b", address: "127.0.0.1", image: "win11" })])).toEqual([
      'line 2: "" is not a MAC address; "a b" cannot be a client\'s name; "127.0.0.1" is not an address a client can have; there is no image win11',
    ])
  })
  it("repeats what an earlier line has", () => {
    const rows = [
      row(1, { address: "10.0.0.1" }),
      row(2),
      row(1, { address: "10.0.0.1" }),
      row(4, { name: "pc-002" }),
      row(1),
    ]
    expect(details([], rows)).toEqual([
      `line 4: MAC ${mac(1)} is also on line 2; name PC-001 is also on line 2; address 10.0.0.1 is also on line 2; id ${clientId(1)} is also on line 2`,
      "line 5: name pc-002 is also on line 3",
      `line 6: MAC ${mac(1)} is also on line 2; name PC-001 is also on line 2; id ${clientId(1)} is also on line 2`,
    ])
  })
  it("has what is someone else's", () => {
    const others = [registered(1, "PC-001", "10.0.0.1"), registered(2, "PC-002")]
    const rows = [
      row(1, { name: "teacher" }),
      row(3, { name: "pc-001" }),
      row(4, { address: "10.0.0.1" }),
      row(2, { address: "10.0.0.2" }),
    ]
    expect(details(others, rows)).toEqual([
      `line 2: the MAC ${mac(1)} belongs to PC-001`,
      `line 3: the name pc-001 belongs to another client (${mac(1)})`,
      "line 4: the address 10.0.0.1 belongs to PC-001",
      "line 5: PC-002 is already registered, with no address and not with address 10.0.0.2",
    ])
  })
  it("names an image or version that is not there", () => {
    expect(
      details([win], [row(1, { image: "win12" }), row(2, { image: "win11@2" }), row(3, { image: "win12" })]),
    ).toEqual([
      "line 2: there is no image win12",
      "line 3: image win11 has no version 2",
      "line 4: there is no image win12",
    ])
  })
  it("would strand kept writes", () => {
    const before = [win, deb, registered(1), linked(1, 0, to(1, "win11", null, "keep"))]
    expect(details(before, [row(1)], "debian")).toEqual(["line 2: PC-001 slot 0 keeps its writes over win11@1"])
  })
  it("is listed however many there are, with long cells cut", () => {
    const rows = Array.from({ length: 300 }, (_, i) => row(i + 1, { mac: "z".repeat(5000) }))
    const all = details([], rows)
    expect(all).toHaveLength(300)
    expect(all[299]).toBe(`line 301: "${"z".repeat(80)}…" is not a MAC address`)
  })
  it("does not hide behind a default image that is not there", () => {
    given()
      .when(importRows([row(1)], "win11"))
      .refused("IMAGE_NOT_FOUND")
  })
})
