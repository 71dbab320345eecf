/** RestoreLinks: what it takes to be as then, and what cannot be. */
import { expect, it } from "vitest"
import type { Body } from "../../core/domain/commands.ts"
import { event } from "../../core/domain/decision.ts"
import {
  clientChanged,
  clientId,
  clientRemoved,
  given,
  imageAdded,
  imageId,
  imageRemoved,
  linked,
  mac,
  pc,
  registered,
  state,
  to,
  unlinked,
} from "../support/domain.ts"

type Client = Body<"RestoreLinks">["clients"][number]
const client = (n: number, more: Partial<Client> = {}): Client => ({
  ...{ clientId: clientId(n), newId: clientId(100 + n), name: pc(n), mac: mac(n), address: null, links: [] },
  ...more,
})
const link = (slot: number, n = 1, image = "win11", more: Partial<Client["links"][number]> = {}) => ({
  ...{ slot, imageId: imageId(n), image, pinned: null, overlay: "discard" as const },
  ...more,
})
const restore = (clients: ReadonlyArray<Client>, discardKept?: boolean): Body<"RestoreLinks"> => ({
  ...{ type: "RestoreLinks", at: 0, clients },
  ...(discardKept === undefined ? {} : { discardKept }),
})

it("nothing to do comes to no events", () => {
  given().when(restore([])).then([])
  const now = [imageAdded(1), registered(1), linked(1, 0, to(1))]
  given(...now)
    .when(restore([client(1, { links: [link(0)] })]))
    .then([])
})

it("removes who came since, and links and unlinks the others", () => {
  const now = [imageAdded(1), registered(1), registered(2), linked(1, 1, to(1)), linked(2, 0, to(1))]
  given(...now)
    .when(restore([client(1, { links: [link(0, 1, "win11", { pinned: 1 })] })]))
    .then([clientRemoved(2, [{ slot: 0, link: to(1) }]), linked(1, 0, to(1, "win11", 1)), unlinked(1, 1, to(1))])
})

it("registers who was removed since under a new id, or takes another registration of that MAC", () => {
  given(registered(1), clientRemoved(1))
    .when(restore([client(1)]))
    .then([event("ClientRegistered", { client: { id: clientId(101), name: pc(1), mac: mac(1) }, address: null })])
  const other = event("ClientRegistered", { client: { id: clientId(5), name: "other", mac: mac(1) }, address: null })
  given(registered(1), clientRemoved(1), other)
    .when(restore([client(1)]))
    .then([
      event("ClientChanged", {
        client: { id: clientId(5), name: "other", mac: mac(1) },
        from: state(5, "other", null, 1),
        to: state(1),
      }),
    ])
})

it("gives names back in an order in which each is free", () => {
  const moved = [clientChanged(2, state(2), state(2, "PC-003")), clientChanged(1, state(1), state(1, "PC-002"))]
  given(registered(1), registered(2), ...moved)
    .when(restore([client(1), client(2)]))
    .then([clientChanged(1, state(1, "PC-002"), state(1)), clientChanged(2, state(2, "PC-003"), state(2))])
})

it("parks a client under a name and MAC of nobody's while two give back what they exchanged", () => {
  const parked = { name: "parked", mac: mac(1), address: null }
  given(
    registered(1),
    registered(2),
    clientChanged(1, state(1), parked),
    clientChanged(2, state(2), state(2, "PC-001")),
    clientChanged(1, parked, state(1, "PC-002")),
  )
    .when(restore([client(1), client(2)]))
    .then([
      clientChanged(1, state(1, "PC-002"), { name: "restoring-1", mac: "02:00:00:00:00:01", address: null }),
      clientChanged(2, state(2, "PC-001"), state(2)),
      event("ClientChanged", {
        client: { id: clientId(1), name: "restoring-1", mac: "02:00:00:00:00:01" },
        from: { name: "restoring-1", mac: "02:00:00:00:00:01", address: null },
        to: state(1),
      }),
    ])
})

it("refuses links to an image that is gone or lacks the version, all of them at once", () => {
  const e = given(imageAdded(1), imageAdded(2, "debian"), imageRemoved(2, "debian"), registered(1))
    .when(restore([client(1, { links: [link(0, 2, "debian"), link(1, 1, "win11", { pinned: 2 })] })]))
    .refused("LINK_NOT_RESTORABLE")
  expect(e.details).toEqual([
    "PC-001 slot 0 cannot be linked to debian again",
    "PC-001 slot 1 cannot be linked to win11 again",
  ])
})

it.each([
  ["linked elsewhere", [client(1, { links: [link(0)] })]],
  ["unlinked", [client(1)]],
  ["removed", []],
])("keeps what a slot keeps that would be %s, unless it may be discarded", (_, clients) => {
  const now = given(imageAdded(1), registered(1), linked(1, 0, to(1, "win11", null, "keep")))
  now.when(restore(clients)).refused("OVERLAY_KEPT")
})

it("refuses a new id that is somebody's", () => {
  given(registered(1), clientRemoved(1))
    .when(restore([client(1, { newId: clientId(1) })]))
    .refused("ID_TAKEN")
})
