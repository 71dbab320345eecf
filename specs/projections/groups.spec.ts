import { describe, expect, it } from "vitest"
import type { NewEvent } from "../../core/log/event-log.ts"
import { historyFilter, describe as line, matches } from "../../core/projections/client-history.ts"
import { groupRows, groupsProjection } from "../../core/projections/groups.ts"
import {
  catalogueOf,
  clientChanged,
  clientId,
  imageAdded,
  imageId,
  linked,
  registered,
  state,
  to,
  unlinked,
} from "../support/domain.ts"
import { by, group, groupChanged, groupId } from "../support/groups.ts"
import { makeMemoryLog } from "../support/memory-log.ts"

const stateOf = (...events: ReadonlyArray<NewEvent>) => {
  const groups = groupsProjection.initial()
  for (const recorded of makeMemoryLog().push(events)) groupsProjection.apply(groups, recorded)
  return groups
}
const slot0 = (link = to(1)) => ({ links: [{ slot: 0, link }] })
const lab = groupChanged(1, null, group(2, { options: { menu: "a" } }), { joined: [10, 2] })

describe("the list of groups", () => {
  it("has members under their names of now, and what the group gives", () => {
    const changed = groupChanged(1, group(2), group(2, { ...slot0(to(1, "win11", 1, "keep")), options: { menu: "b" } }))
    expect(groupRows(stateOf(lab, changed, clientChanged(2, state(2), state(2, "teacher"))))).toEqual([
      {
        id: groupId(1),
        name: "lab",
        members: ["PC-010", "teacher"],
        links: [{ slot: 0, image: "win11", pinned: 1, overlay: "keep" }],
        options: { menu: "b" },
      },
    ])
  })
  it("is in natural order, and has none that was removed", () => {
    const named = (n: number, name: string) => groupChanged(n, null, group(0, { name }))
    const events = [named(1, "lab-10"), named(2, "lab-9"), named(3, "old")]
    expect(groupRows(stateOf(...events, groupChanged(3, group(0), null))).map((r) => r.name)).toEqual([
      "lab-9",
      "lab-10",
    ])
    expect(groupRows(stateOf())).toEqual([])
  })
  it("forgets who left, and does not rename him any more", () => {
    const left = groupChanged(1, group(2), group(1), { left: [2] })
    const rows = groupRows(stateOf(lab, left, clientChanged(2, state(2), state(2, "teacher"))))
    expect(rows).toMatchObject([{ members: ["PC-010"] }])
  })
  it("comes back from its checkpoint as it was", () => {
    const encoded = JSON.stringify(groupsProjection.encode(stateOf(lab)))
    expect(JSON.stringify(groupsProjection.encode(groupsProjection.decode(JSON.parse(encoded))))).toBe(encoded)
  })
})

const said = (event: NewEvent) => {
  const { client, group, image, what, from, to } = line(makeMemoryLog().push([event])[0]!)
  return { client, group, image, what, from, to }
}

describe("the history of a group", () => {
  const nobody = { client: null, group: "lab", image: null }
  it("says who joined when it was made", () => {
    expect(said(groupChanged(1, null, group(5), { joined: [1, 2, 3, 4, 5] }))).toEqual({
      ...nobody,
      what: "group created",
      from: null,
      to: "5 members; PC-001, PC-002, PC-003 and 2 more joined",
    })
  })
  it("says what differs, and nothing else", () => {
    const before = group(1, { ...slot0(), options: { menu: "a", console: "x" } })
    const after = group(2, { name: "lab-2", ...slot0(to(2, "debian", 1)), options: { console: "x" } })
    expect(said(groupChanged(1, before, after, { joined: [7], left: [] }))).toEqual({
      ...nobody,
      image: "debian",
      what: "group changed",
      from: "group:lab; 1 member; slot 0 win11@1, follows, discard; menu=a",
      to: "group:lab-2; 2 members; slot 0 debian@1, pinned, discard; no menu; PC-007 joined",
    })
    expect(said(groupChanged(1, group(1), group(1, slot0())))).toMatchObject({
      from: "slot 0 not linked",
      to: "slot 0 win11@1, follows, discard",
    })
    expect(said(groupChanged(1, group(1), group(1), { joined: [2], left: [1] }))).toMatchObject({
      from: null,
      to: "PC-002 joined; PC-001 left",
    })
  })
  it("says what went with it", () => {
    expect(said(groupChanged(1, group(1, slot0()), null, { left: [1] }))).toMatchObject({
      what: "group removed",
      from: "1 member; slot 0 win11@1, follows, discard",
      to: null,
    })
  })
  it("of a client names the group that a link came from", () => {
    expect(said(linked(1, 0, to(2, "debian"), by(1)))).toMatchObject({
      client: "PC-001",
      group: "lab",
      what: "relinked",
      from: "win11@1, follows, discard, group:lab",
      to: "debian@1, follows, discard",
    })
    expect(said(linked(1, 0, to(1), by(1)))).toMatchObject({ what: "link changed" })
    expect(said(clientChanged(1, state(1), { ...state(1), options: { menu: "a" } }))).toMatchObject({
      from: "no menu",
      to: "menu=a",
    })
  })
})

describe("asking the history", () => {
  const events = [
    imageAdded(1),
    registered(1),
    registered(2),
    groupChanged(1, null, group(1), { joined: [1] }),
    groupChanged(1, group(1), group(1, slot0())),
    linked(1, 0, by(1)),
    linked(2, 0, to(1)),
    unlinked(1, 0, by(1)),
    groupChanged(1, group(1, slot0()), null, { left: [1] }),
  ]
  const found = (filter: Parameters<typeof matches>[1]) =>
    makeMemoryLog()
      .push(events)
      .filter((recorded) => matches(recorded, filter))
      .map((recorded) => recorded.position)
  it("of a group finds its changes and the links it gave, also when it is gone", () => {
    expect(found({ groupId: groupId(1) })).toEqual([4, 5, 6, 8, 9])
    expect(historyFilter(catalogueOf(events), { group: "group:LAB" })).toMatchObject({ groupId: groupId(1) })
    expect(historyFilter(catalogueOf(events), { group: "lag" })).toMatchObject({ code: "GROUP_NOT_FOUND" })
  })
  it("of a client finds where it joined and left", () => {
    expect(found({ clientId: clientId(1) })).toEqual([2, 4, 6, 8, 9])
  })
  it("of an image finds the group that pointed to it", () => {
    expect(found({ imageId: imageId(1) })).toEqual([1, 5, 6, 7, 8, 9])
  })
})
