import { describe, expect, it } from "vitest"
import { event } from "../../core/domain/decision.ts"
import type { DomainEvent } from "../../core/domain/events.ts"
import { effectiveOptions } from "../../core/domain/group-links.ts"
import { limits } from "../../core/limits.ts"
import {
  catalogueOf,
  change,
  clientChanged,
  clientId,
  clientRef,
  clientRemoved,
  copy,
  given,
  givenVersions,
  imageAdded,
  importRows,
  link,
  linked,
  mac,
  pc,
  registered,
  removeClients,
  removeImage,
  reset,
  resetOverlays,
  state,
  to,
  unlink,
  unlinked,
} from "../support/domain.ts"
import {
  by,
  changeGroup,
  createGroup,
  group,
  groupChanged,
  groupId,
  linkGroup,
  removeGroup,
  unlinkGroup,
} from "../support/groups.ts"

const win = imageAdded(1)
const deb = imageAdded(2, "debian")
const two = [win, deb, registered(1), registered(2)]
const keep = to(1, "win11", null, "keep")
const slot0 = (link = to(1)) => ({ links: [{ slot: 0, link }] })
const lab = groupChanged(1, null, group(2), { joined: [1, 2] })
const labLinked = groupChanged(1, group(2), group(2, slot0()))
/** A lab of two whose slot 0 is linked. */
const linkedLab = [...two, lab, labLinked, linked(1, 0, by(1)), linked(2, 0, by(1))]
const keptLab = [
  ...two,
  lab,
  groupChanged(1, group(2), group(2, slot0(keep))),
  linked(1, 0, by(1, keep)),
  linked(2, 0, by(1, keep)),
]
const room = (...joined: ReadonlyArray<number>) =>
  groupChanged(2, null, group(joined.length, { name: "room" }), { joined })
const roomState = (members: number, links = to(2, "debian")) => group(members, { name: "room", ...slot0(links) })

describe("making a group", () => {
  it("says who joined, each once, in natural order, and what it is called", () => {
    given(...two)
      .when(createGroup(1, ["PC-002", "pc-001", mac(2)]))
      .then([lab])
    given(...two)
      .when(createGroup(1, [], { name: "group:lab" }))
      .then([groupChanged(1, null, group(0))])
  })
  it("that is there with the same clients changes nothing, and with others is refused, in any case of the name", () => {
    given(...two, lab)
      .when(createGroup(9, ["PC-{001..002}"], { name: "LAB" }))
      .then([])
    given(...two, lab)
      .when(createGroup(9, ["PC-001"]))
      .refused("GROUP_EXISTS")
    given(...two, lab)
      .when(createGroup(9, ["PC-{001..002}"], { options: { menu: "a" } }))
      .refused("GROUP_EXISTS")
  })
  it("takes only a name that no client could not have", () => {
    for (const name of [
      "",
      "a b",
      "-lab",
      "525400000001",
      "x".repeat(limits.clientNameCharsMax + 1),
      "group:",
      "lab.2",
    ])
      given()
        .when(createGroup(1, [], { name }))
        .refused("GROUP_NAME_INVALID")
    const longest = "x".repeat(limits.clientNameCharsMax)
    given()
      .when(createGroup(1, [], { name: longest }))
      .then([groupChanged(1, null, group(0, { name: longest }))])
  })
  it("never takes an id twice, not even a removed group's", () => {
    given(lab0)
      .when(createGroup(1, [], { name: "other" }))
      .refused("ID_TAKEN")
    const error = given(lab0, groupChanged(1, group(0), null))
      .when(createGroup(1, []))
      .refused("ID_TAKEN")
    expect(error.message).toBe(`the id ${groupId(1)} belongs to the removed group lab`)
  })
  it("of more clients than an event holds is told in several, each from where the one before left it", () => {
    const max = limits.groupEventClientsMax
    const numbers = Array.from({ length: max + 1 }, (_, i) => i + 1)
    const all = numbers.map((n) => registered(n))
    given(...all)
      .when(createGroup(1, [`PC-{001..${max}}`]))
      .then([groupChanged(1, null, group(max), { joined: numbers.slice(0, max) })])
    const events = [
      groupChanged(1, null, group(max), { joined: numbers.slice(0, max) }),
      groupChanged(1, group(max), group(max + 1), { joined: [max + 1] }),
    ]
    given(...all)
      .when(createGroup(1, [`PC-{001..${max + 1}}`]))
      .then(events)
    given(...all, ...events)
      .when(removeGroup())
      .then([
        groupChanged(1, group(max + 1), group(1), { left: numbers.slice(0, max) }),
        groupChanged(1, group(1), null, { left: [max + 1] }),
      ])
  })
})

const lab0 = groupChanged(1, null, group(0))

describe("linking a group", () => {
  it("links every member, and says which group it comes from", () => {
    given(...two, lab)
      .when(linkGroup("win11"))
      .then([labLinked, linked(1, 0, by(1)), linked(2, 0, by(1))])
  })
  it("to what it is linked to changes nothing", () => {
    given(...linkedLab)
      .when(linkGroup("WIN11"))
      .then([])
    given(...linkedLab)
      .when(linkGroup("win11", {}, "group:LAB"))
      .then([])
  })
  it("without members is remembered for those who join", () => {
    const linkedEmpty = groupChanged(1, group(0), group(0, slot0()))
    given(...two, lab0)
      .when(linkGroup("win11"))
      .then([linkedEmpty])
    given(...two, lab0, linkedEmpty)
      .when(changeGroup({ add: ["PC-002"] }))
      .then([groupChanged(1, group(0, slot0()), group(1, slot0()), { joined: [2] }), linked(2, 0, by(1))])
  })
  it("leaves a member's own link alone, and taking that away shows the group's", () => {
    const own = linked(1, 0, to(2, "debian"))
    given(...two, own, lab)
      .when(linkGroup("win11"))
      .then([labLinked, linked(2, 0, by(1))])
    given(...two, own, lab, labLinked, linked(2, 0, by(1)))
      .when(unlink(["PC-001"]))
      .then([linked(1, 0, by(1), to(2, "debian"))])
  })
  it("elsewhere keeps the group's policy and refuses each kept overlay in the way", () => {
    const error = given(...keptLab)
      .when(linkGroup("debian"))
      .refused("OVERLAY_KEPT")
    expect(error.details).toHaveLength(2)
    const debKept = to(2, "debian", null, "keep")
    given(...keptLab)
      .when(linkGroup("debian", { discardKept: true }))
      .then([
        groupChanged(1, group(2, slot0(keep)), group(2, slot0(debKept))),
        linked(1, 0, by(1, debKept), by(1, keep)),
        linked(2, 0, by(1, debKept), by(1, keep)),
      ])
  })
  it("pins what follows without touching the overlays", () => {
    const pinned = to(1, "win11", 1, "keep")
    given(...keptLab)
      .when(linkGroup("win11@1"))
      .then([
        groupChanged(1, group(2, slot0(keep)), group(2, slot0(pinned))),
        linked(1, 0, by(1, pinned), by(1, keep)),
        linked(2, 0, by(1, pinned), by(1, keep)),
      ])
  })
  it("is refused where another group of a member sets the slot, naming both, even under an own link", () => {
    const events = [...linkedLab, room(2)]
    const error = given(...events)
      .when(linkGroup("debian", {}, "room"))
      .refused("GROUP_CONFLICT")
    expect(error.message).toBe("PC-002 would get slot 0 from group:lab and from group:room")
    given(...events, linked(2, 0, to(2, "debian"), by(1)))
      .when(linkGroup("debian", {}, "room"))
      .refused("GROUP_CONFLICT")
    given(...events)
      .when(linkGroup("debian", { slot: 1 }, "room"))
      .then([
        groupChanged(
          2,
          group(1, { name: "room" }),
          group(1, { name: "room", links: [{ slot: 1, link: to(2, "debian") }] }),
        ),
        linked(2, 1, by(2, to(2, "debian"), "room")),
      ])
  })
  it("needs a group, an image and a slot that are there", () => {
    const error = given(win, lab0)
      .when(linkGroup("win11", {}, "lag"))
      .refused("GROUP_NOT_FOUND")
    expect(error.reason).toBe("no group has this name; the nearest is lab")
    given(win, lab0).when(linkGroup("win12")).refused("IMAGE_NOT_FOUND")
    given(win, lab0).when(linkGroup("win11@2")).refused("IMAGE_VERSION_NOT_FOUND")
    given(win, lab0)
      .when(linkGroup("win11", { slot: 16 }))
      .refused("SLOT_INVALID")
    given(win, lab0)
      .when(unlinkGroup({ slot: -1 }))
      .refused("SLOT_INVALID")
  })
})

describe("unlinking a group", () => {
  it("takes the slot from those who have it from the group", () => {
    const events = [...linkedLab, linked(1, 0, to(2, "debian"), by(1))]
    given(...events)
      .when(unlinkGroup())
      .then([groupChanged(1, group(2, slot0()), group(2)), unlinked(2, 0, by(1))])
    given(...two, lab)
      .when(unlinkGroup())
      .then([])
  })
  it("needs to be told to discard what members keep", () => {
    given(...keptLab)
      .when(unlinkGroup())
      .refused("OVERLAY_KEPT")
    given(...keptLab)
      .when(unlinkGroup({ discardKept: true }))
      .then([
        groupChanged(1, group(2, slot0(keep)), group(2)),
        unlinked(1, 0, by(1, keep)),
        unlinked(2, 0, by(1, keep)),
      ])
  })
})

describe("members", () => {
  it("who leave lose what the group gave them, and nothing else", () => {
    given(...linkedLab, linked(2, 1, to(2, "debian")))
      .when(changeGroup({ drop: ["PC-002"] }))
      .then([groupChanged(1, group(2, slot0()), group(1, slot0()), { left: [2] }), unlinked(2, 0, by(1))])
    given(...linkedLab, linked(2, 0, to(2, "debian"), by(1)))
      .when(changeGroup({ drop: ["PC-002"] }))
      .then([groupChanged(1, group(2, slot0()), group(1, slot0()), { left: [2] })])
  })
  it("who are in already, or are not, change nothing", () => {
    given(...linkedLab)
      .when(changeGroup({ add: ["PC-001"] }))
      .then([])
    given(...linkedLab, registered(3))
      .when(changeGroup({ drop: ["PC-003"] }))
      .then([])
    given(...linkedLab)
      .when(changeGroup({}))
      .then([])
  })
  it("cannot join where two groups would give the same slot", () => {
    const roomLinked = groupChanged(2, group(1, { name: "room" }), roomState(1))
    const events = [...linkedLab, registered(3), room(3), roomLinked, linked(3, 0, by(2, to(2, "debian"), "room"))]
    const error = given(...events)
      .when(changeGroup({ add: ["PC-{001..003}"] }, "room"))
      .refused("GROUP_CONFLICT")
    expect(error.details).toEqual([
      "PC-001 would get slot 0 from group:lab and from group:room",
      "PC-002 would get slot 0 from group:lab and from group:room",
    ])
  })
  it("stay when their group goes, without what it gave them", () => {
    given(...linkedLab)
      .when(removeGroup())
      .then([groupChanged(1, group(2, slot0()), null, { left: [1, 2] }), unlinked(1, 0, by(1)), unlinked(2, 0, by(1))])
    given(...keptLab)
      .when(removeGroup())
      .refused("OVERLAY_KEPT")
  })
  it("are clients wherever clients are named", () => {
    given(...two, lab)
      .when(link(["group:LAB"], "win11"))
      .then([linked(1, 0, to(1)), linked(2, 0, to(1))])
    given(...two, lab, registered(3))
      .when(link(["PC-003", "group:lab", "PC-001"], "win11"))
      .then([linked(3, 0, to(1)), linked(1, 0, to(1)), linked(2, 0, to(1))])
    given(...two, lab0)
      .when(link(["group:lab"], "win11"))
      .then([])
    given(...two)
      .when(link(["group:lab"], "win11"))
      .refused("GROUP_NOT_FOUND")
    given(...linkedLab)
      .when(resetOverlays(["group:lab"]))
      .then([reset(1, 0, by(1)), reset(2, 0, by(1))])
  })
})

describe("a group's name", () => {
  it("changes without touching a link", () => {
    given(...linkedLab)
      .when(changeGroup({ name: "lab-2" }))
      .then([groupChanged(1, group(2, slot0()), group(2, { name: "lab-2", ...slot0() }))])
  })
  it("may differ in case only, and is another's no more", () => {
    given(...two, lab0)
      .when(changeGroup({ name: "LAB" }))
      .then([groupChanged(1, group(0), group(0, { name: "LAB" }))])
    given(...two, lab0, room())
      .when(changeGroup({ name: "ROOM" }))
      .refused("GROUP_EXISTS")
    const renamed = groupChanged(1, group(0), group(0, { name: "hall" }))
    given(...two, lab0, renamed)
      .when(linkGroup("win11"))
      .refused("GROUP_NOT_FOUND")
    given(...two, lab0, renamed)
      .when(createGroup(2, []))
      .then([groupChanged(2, null, group(0))])
  })
})

describe("a client's own link", () => {
  it("to the very same disk is still its own, and renews nothing", () => {
    given(...keptLab)
      .when(link(["PC-001"], "win11"))
      .then([linked(1, 0, keep, by(1, keep))])
    const catalogue = catalogueOf([...keptLab, linked(1, 0, keep, by(1, keep))])
    expect(catalogue.clients.get(clientId(1))?.links.get(0)).toMatchObject({ epoch: 7 })
    expect(catalogue.clients.get(clientId(1))?.links.get(0)).not.toHaveProperty("group")
  })
  it("stays on its version when only its source changes, though the image moved on", () => {
    givenVersions("win11", 2, ...keptLab)
      .when(link(["PC-001"], "win11"))
      .then([linked(1, 0, keep, by(1, keep))])
  })
  it("that keeps writes gives way to the group's with discardKept only", () => {
    const events = [...linkedLab, linked(1, 0, to(2, "debian", null, "keep"), by(1))]
    given(...events)
      .when(unlink(["PC-001"]))
      .refused("OVERLAY_KEPT")
    given(...events)
      .when({ type: "UnlinkClients", clients: ["PC-001"], slot: 0, discardKept: true })
      .then([linked(1, 0, by(1), to(2, "debian", null, "keep"))])
  })
  it("is all that unlinking takes away: what a group gives is refused, saying so", () => {
    const error = given(...linkedLab)
      .when(unlink(["PC-001"]))
      .refused("LINK_FROM_GROUP")
    expect(error.message).toBe("the link of PC-001 in slot 0 is not its own: it comes from group:lab")
  })
})

describe("a group and the rest", () => {
  it("a removed client leaves its groups first, all of a command at once", () => {
    given(...linkedLab)
      .when(removeClients(["PC-{001..002}"]))
      .then([
        groupChanged(1, group(2, slot0()), group(0, slot0()), { left: [1, 2] }),
        clientRemoved(1, [{ slot: 0, link: by(1) }]),
        clientRemoved(2, [{ slot: 0, link: by(1) }]),
      ])
  })
  it("an image that only an empty group links is in use", () => {
    const events = [win, lab0, groupChanged(1, group(0), group(0, slot0()))]
    const error = given(...events)
      .when(removeImage())
      .refused("IMAGE_IN_USE")
    expect(error.reason).toBe("linked to it: group:lab slot 0")
    given(...events, groupChanged(1, group(0, slot0()), group(0)))
      .when(removeImage())
      .then([
        event("ImageRemoved", {
          image: { id: "00000001-0000-7000-8000-000000000001", name: "win11" },
          versions: 1,
          sidecars: [],
        }),
      ])
  })
  it("a copy joins the source's groups, and gets the source's own links as its own", () => {
    const source = [...linkedLab, linked(1, 1, to(2, "debian"))]
    const fresh = { id: clientId(3), name: pc(3), mac: mac(3) }
    const joined = event("GroupChanged", {
      group: { id: groupId(1), name: "lab" },
      from: group(2, slot0()),
      to: group(3, slot0()),
      joined: [fresh],
      left: [],
    })
    given(...source)
      .when(copy("PC-001", [{ clientId: clientId(3), mac: mac(3) }]))
      .then([registered(3), joined, linked(3, 0, by(1)), linked(3, 1, to(2, "debian"))])
    given(...source)
      .when(copy("PC-001", [{ clientId: clientId(9), mac: mac(2) }]))
      .then([linked(2, 1, to(2, "debian"))])
  })
  it("a copy over a client of another group that sets the same slot is refused", () => {
    const roomLinked = groupChanged(2, group(1, { name: "room" }), roomState(1))
    const events = [...linkedLab, registered(3), room(3), roomLinked, linked(3, 0, by(2, to(2, "debian"), "room"))]
    given(...events)
      .when(copy("PC-001", [{ clientId: clientId(9), mac: mac(3) }]))
      .refused("GROUP_CONFLICT")
  })
  it("an imported row that says what the group gives changes nothing", () => {
    given(...linkedLab)
      .when(importRows([{ mac: mac(1), name: "PC-001", image: "win11" }]))
      .then([])
    given(...linkedLab)
      .when(importRows([{ mac: mac(1), name: "PC-001", image: "debian" }]))
      .then([linked(1, 0, to(2, "debian"), by(1))])
  })
})

describe("boot options", () => {
  const withMenu = (menu: string) => group(2, { options: { menu } })
  it("of a group are set, changed and taken away, and touch no link", () => {
    given(...two, lab)
      .when(changeGroup({ options: { menu: "a" } }))
      .then([groupChanged(1, group(2), withMenu("a"))])
    given(...two, lab, groupChanged(1, group(2), withMenu("a")))
      .when(changeGroup({ options: { menu: null } }))
      .then([groupChanged(1, withMenu("a"), group(2))])
    given(...two, lab, groupChanged(1, group(2), withMenu("a")))
      .when(changeGroup({ options: { menu: "a", console: null } }))
      .then([])
  })
  it("of a client are part of the client, kept by every other change of it", () => {
    const set = clientChanged(1, state(1), { ...state(1), options: { menu: "b" } })
    given(registered(1))
      .when(change("PC-001", { options: { menu: "b", console: null } }))
      .then([set])
    given(registered(1), set)
      .when(change("PC-001", { name: "teacher" }))
      .then([
        clientChanged(1, { ...state(1), options: { menu: "b" } }, { ...state(1, "teacher"), options: { menu: "b" } }),
      ])
    given(registered(1), set)
      .when(change("PC-001", { options: { menu: null } }))
      .then([clientChanged(1, { ...state(1), options: { menu: "b" } }, state(1))])
    given(registered(1), set)
      .when(change("PC-001", { options: { menu: "b" } }))
      .then([])
    const cleared = clientChanged(1, { ...state(1), options: { menu: "b" } }, state(1))
    expect(catalogueOf([registered(1), set, cleared]).clients.get(clientId(1))).not.toHaveProperty("options")
  })
  it("take effect with the client's own before its groups'", () => {
    const own = clientChanged(1, state(1), { ...state(1), options: { menu: "own" } })
    const options = { menu: "lab", console: "ttyS0" }
    const events: ReadonlyArray<DomainEvent> = [...two, lab, groupChanged(1, group(2), group(2, { options })), own]
    const catalogue = catalogueOf(events)
    expect(effectiveOptions(catalogue, catalogue.clients.get(clientId(1))!)).toEqual([
      { key: "console", value: "ttyS0", source: "group:lab" },
      { key: "menu", value: "own", source: "own" },
    ])
    expect(effectiveOptions(catalogue, catalogue.clients.get(clientId(2))!)[1]).toMatchObject({ source: "group:lab" })
  })
  it("of two groups of a client may agree and may not differ", () => {
    const events = [...two, lab, groupChanged(1, group(2), withMenu("a")), room(2)]
    const room1 = group(1, { name: "room" })
    given(...events)
      .when(changeGroup({ options: { menu: "a" } }, "room"))
      .then([groupChanged(2, room1, { ...room1, options: { menu: "a" } })])
    const error = given(...events)
      .when(changeGroup({ options: { menu: "b" } }, "room"))
      .refused("GROUP_CONFLICT")
    expect(error.message).toBe("PC-002 would get option menu from group:lab and from group:room")
  })
  it("have a short name of their alphabet, one line of value, and are few", () => {
    const set = (options: Record<string, string | null>) => given(lab0).when(changeGroup({ options }))
    for (const key of ["", "Menu", "a b", "__proto__", "x".repeat(limits.optionKeyCharsMax + 1)])
      set(JSON.parse(`{${JSON.stringify(key)}:"v"}`)).refused("OPTION_INVALID")
    for (const value of ["a\nb", "\0", "\u2028", "x".repeat(limits.optionValueCharsMax + 1)])
      set({ menu: value }).refused("OPTION_INVALID")
    const longest = { ["x".repeat(limits.optionKeyCharsMax)]: "é".repeat(limits.optionValueCharsMax), empty: "" }
    set(longest).then([groupChanged(1, group(0), group(0, { options: longest }))])
    const many = (n: number) => Object.fromEntries(Array.from({ length: n }, (_, i) => [`k${i}`, "v"]))
    set(many(limits.optionsMax)).then([groupChanged(1, group(0), group(0, { options: many(limits.optionsMax) }))])
    set(many(limits.optionsMax + 1)).refused("OPTION_INVALID")
  })
})

it("the largest change of a group fits an event", () => {
  const max = limits.groupEventClientsMax
  const name = (n: number) => `c${n}-`.padEnd(limits.clientNameCharsMax, "x")
  const numbers = Array.from({ length: max }, (_, i) => i + 1)
  const image = "w".repeat(limits.imageNameCharsMax)
  const links = Array.from({ length: limits.slotMax + 1 }, (_, slot) => ({ slot, link: to(1, image) }))
  const value = "\uffff".repeat(limits.optionValueCharsMax)
  const options = Object.fromEntries(
    Array.from({ length: limits.optionsMax }, (_, i) => [String(i).padEnd(limits.optionKeyCharsMax, "k"), value]),
  )
  const of = (members: number) => group(members, { name: name(0), links, options })
  const data = {
    group: { id: groupId(1), name: name(0) },
    from: of(10_000),
    to: of(10_000 + max),
    joined: numbers.map((n) => clientRef(n, name(n))),
    left: [],
  }
  expect(Buffer.byteLength(JSON.stringify(data))).toBeLessThan(limits.eventBytesMax - 1024)
})
