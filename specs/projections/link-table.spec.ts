import { describe, expect, it } from "vitest"
import type { DomainEvent } from "../../core/domain/events.ts"
import type { NewEvent } from "../../core/log/event-log.ts"
import { linkRows, linkTable } from "../../core/projections/link-table.ts"
import {
  clientChanged,
  clientRemoved,
  imageAdded,
  imageRemoved,
  linked,
  mac,
  registered,
  reset,
  state,
  to,
  unlinked,
} from "../support/domain.ts"
import { makeMemoryLog } from "../support/memory-log.ts"

const stateOf = (...events: ReadonlyArray<NewEvent>) => {
  const state = linkTable.initial()
  for (const recorded of makeMemoryLog().push(events)) linkTable.apply(state, recorded)
  return state
}
const rows = (...events: ReadonlyArray<NewEvent>) => linkRows(stateOf(...events))
const win = imageAdded(1)

describe("the link table", () => {
  it("is empty without events, and has no row for a client without a link", () => {
    expect(rows()).toEqual([])
    expect(rows(win, registered(1))).toEqual([])
  })
  it("has one row for a link, with exactly these keys", () => {
    expect(rows(win, registered(1, "PC-001", "10.0.0.1"), linked(1, 0, to(1)))).toEqual([
      {
        client: "PC-001",
        mac: mac(1),
        address: "10.0.0.1",
        slot: 0,
        image: "win11",
        version: 1,
        follows: true,
        overlay: "discard",
        superClient: false,
      },
    ])
  })
  it("tells a pinned link, a kept overlay and a missing address", () => {
    expect(rows(win, registered(1), linked(1, 3, to(1, "win11", 1, "keep")))).toMatchObject([
      { address: null, slot: 3, follows: false, overlay: "keep" },
    ])
  })
  it("is in natural order of clients, then of slots", () => {
    const events: Array<DomainEvent> = [win]
    for (const n of [10, 2, 1])
      events.push(registered(n, `PC-${n}`), linked(n, 10, to(1), null, `PC-${n}`), linked(n, 9, to(1), null, `PC-${n}`))
    expect(rows(...events).map((row) => `${row.client}/${row.slot}`)).toEqual([
      "PC-1/9",
      "PC-1/10",
      "PC-2/9",
      "PC-2/10",
      "PC-10/9",
      "PC-10/10",
    ])
  })
  it("has the newest link of a slot, and none once unlinked", () => {
    const base = [win, imageAdded(2, "debian"), registered(1), linked(1, 0, to(1))]
    expect(rows(...base, linked(1, 0, to(2, "debian"), to(1)))).toMatchObject([{ image: "debian" }])
    expect(rows(...base, unlinked(1, 0, to(1)))).toEqual([])
    expect(rows(...base, unlinked(1, 0, to(1)), linked(1, 0, to(1)))).toHaveLength(1)
  })
  it("has a changed client's links under its new name, and none of a removed one", () => {
    const base = [win, registered(1), registered(2), linked(1, 0, to(1)), linked(2, 0, to(1))]
    const changed = rows(...base, clientChanged(1, state(1), state(1, "teacher", "10.0.0.9", 7)))
    expect(changed).toMatchObject([
      { client: "PC-002" },
      { client: "teacher", mac: mac(7), address: "10.0.0.9", image: "win11" },
    ])
    expect(rows(...base, clientRemoved(1, [{ slot: 0, link: to(1) }])).map((row) => row.client)).toEqual(["PC-002"])
  })
  it("names a new image under the name of a removed one", () => {
    const events = [win, imageRemoved(1), imageAdded(2, "win11"), registered(1), linked(1, 0, to(2))]
    expect(rows(...events)).toMatchObject([{ image: "win11", version: 1 }])
    expect(linkTable.encode(stateOf(win, imageRemoved(1)))).toEqual(linkTable.encode(linkTable.initial()))
  })
  it("has 100 rows after an import of 100 clients", () => {
    const numbers = Array.from({ length: 100 }, (_, i) => i + 1)
    const table = rows(win, ...numbers.flatMap((n) => [registered(n), linked(n, 0, to(1))]))
    expect([table.length, table[0]?.client, table[99]?.client]).toEqual([100, "PC-001", "PC-100"])
  })
  it("shows a kept link that follows at the version it was reset to", () => {
    const keep = to(1, "win11", null, "keep")
    const table = rows(win, registered(1), linked(1, 0, keep), reset(1, 0, { ...keep, version: 2 }))
    expect(table).toMatchObject([{ version: 2, follows: true }])
  })
  it("goes on past an event it does not know, and takes clients and images from the events that name them", () => {
    const state = linkTable.initial()
    const [unknown, link] = makeMemoryLog().push([
      { type: "LabMoved", schemaVersion: 1, data: {} },
      linked(1, 0, to(1)),
    ])
    expect([linkTable.apply(state, unknown!), linkTable.apply(state, link!)]).toEqual([false, true])
    expect(linkRows(state)).toMatchObject([{ client: "PC-001", address: null, image: "win11" }])
  })
})
