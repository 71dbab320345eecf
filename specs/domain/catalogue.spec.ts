import { describe, expect, it } from "vitest"
import { initial } from "../../core/domain/catalogue.ts"
import { isKnownEvent, schemaVersions } from "../../core/domain/event-versions.ts"
import type { DomainEvent } from "../../core/domain/events.ts"
import { eventShapes } from "../../core/domain/events.ts"
import { evolve } from "../../core/domain/evolve.ts"
import { isImagelinkError } from "../../core/errors.ts"
import {
  catalogueOf,
  clientId,
  imageAdded,
  imageId,
  linked,
  mac,
  registered,
  reset,
  to,
  unlinked,
} from "../support/domain.ts"

const base = [imageAdded(1), imageAdded(2, "debian"), registered(1, "PC-001", "10.0.0.1")]
const epoch = (...events: ReadonlyArray<DomainEvent>) =>
  catalogueOf([...base, ...events])
    .clients.get(clientId(1))!
    .links.get(0)?.epoch

describe("the catalogue", () => {
  it("is empty before the first event", () => {
    const { position, ...maps } = initial()
    expect(position).toBe(0)
    expect(Object.values(maps).map((m) => m.size)).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
  })
  it("finds an image by id and lower-case name, and a client by id, MAC, lower-case name and address", () => {
    const c = catalogueOf(base)
    expect(c.imagesByName.get("win11")).toBe(c.images.get(imageId(1)))
    const client = c.clients.get(clientId(1))
    expect(client).toMatchObject({ name: "PC-001", mac: mac(1), address: "10.0.0.1" })
    expect(c.clientsByMac.get(mac(1))).toBe(client)
    expect(c.clientsByName.get("pc-001")).toBe(client)
    expect(c.clientsByAddress.get("10.0.0.1")).toBe(client)
  })
  it("knows no address of a client without one", () => {
    expect(catalogueOf([registered(1)]).clientsByAddress.size).toBe(0)
  })
  it("forgets a link when it is unlinked", () => {
    expect(epoch(linked(1, 0, to(1)), unlinked(1, 0, to(1)))).toBeUndefined()
  })
})

describe("a link's epoch", () => {
  it("is the position of the event that made it", () => {
    expect(epoch(linked(1, 0, to(1)))).toBe(4)
  })
  it("is renewed by another image, by a reset, and by linking after unlinking", () => {
    expect(epoch(linked(1, 0, to(1)), linked(1, 0, to(2, "debian"), to(1)))).toBe(5)
    expect(epoch(linked(1, 0, to(1)), reset(1, 0, to(1)))).toBe(5)
    expect(epoch(linked(1, 0, to(1)), reset(1, 0, to(1)), reset(1, 0, to(1)))).toBe(6)
    expect(epoch(linked(1, 0, to(1)), unlinked(1, 0, to(1)), linked(1, 0, to(1)))).toBe(6)
  })
  it("is renewed by another version of the same image", () => {
    expect(epoch(linked(1, 0, to(1)), linked(1, 0, { ...to(1), version: 2 }, to(1)))).toBe(5)
  })
  it("is renewed by another policy, because a generation is made for the promises of one", () => {
    expect(epoch(linked(1, 0, to(1)), linked(1, 0, to(1, "win11", null, "keep"), to(1)))).toBe(5)
  })
  it("stays when only the pin changes, because the overlay stays over its base", () => {
    expect(epoch(linked(1, 0, to(1)), linked(1, 0, to(1, "win11", 1), to(1)))).toBe(4)
  })
  it("of one slot is not another's", () => {
    const links = catalogueOf([...base, linked(1, 0, to(1)), linked(1, 15, to(1)), reset(1, 15, to(1))]).clients.get(
      clientId(1),
    )!.links
    expect([links.get(0)!.epoch, links.get(15)!.epoch]).toEqual([4, 6])
  })
})

describe("folding", () => {
  const unknown = (event: { type: string; schemaVersion: number }) => {
    try {
      evolve(initial(), { ...event, position: 1, data: {} })
      return undefined
    } catch (e) {
      return isImagelinkError(e) ? [e.code, e.message] : e
    }
  }
  it("stops at an unknown type and at a newer shape of a known one, and stays where it was", () => {
    const said = (type: string) => ["EVENT_UNKNOWN", `event 1 is of a type this version does not know: ${type}`]
    expect(unknown({ type: "ClientRenamed", schemaVersion: 1 })).toEqual(said("ClientRenamed v1"))
    expect(unknown({ type: "ImageAdded", schemaVersion: 2 })).toEqual(said("ImageAdded v2"))
    expect(unknown({ type: "toString", schemaVersion: 1 })).toEqual(said("toString v1"))
    const c = catalogueOf(base)
    expect(() => evolve(c, { type: "ClientRenamed", schemaVersion: 1, position: 4, data: {} })).toThrow()
    expect(c.position).toBe(3)
  })
  it("takes every event once and in order", () => {
    const c = catalogueOf(base)
    expect(() => evolve(c, { ...registered(2), position: 3 })).toThrow("in order")
    expect(() => evolve(c, { ...registered(2), position: 5 })).toThrow("in order")
    expect(evolve(c, { ...registered(2), position: 4 }).position).toBe(4)
  })
  it("refuses a log that links what it never made", () => {
    expect(() => catalogueOf([imageAdded(1), linked(1, 0, to(1))])).toThrow("never registered")
    expect(() => catalogueOf([registered(1), linked(1, 0, to(1))])).toThrow("names the image win11, which is not there")
  })
  it("knows the same shapes as the schemas", () => {
    expect(schemaVersions).toEqual(Object.fromEntries(Object.entries(eventShapes).map(([t, [v]]) => [t, v])))
    expect(isKnownEvent({ type: "ImageAdded", schemaVersion: 0 })).toBe(false)
  })
})
