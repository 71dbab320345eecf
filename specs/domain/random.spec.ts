/** Random command sequences: whatever is asked in whatever order, the catalogue never contradicts itself. */
import * as Result from "effect/Result"
import { expect, it } from "vitest"
import { type Catalogue, evolve, initial } from "../../core/domain/catalogue.ts"
import type { CommandBody } from "../../core/domain/commands.ts"
import { decide } from "../../core/domain/decide.ts"
import { isClientName, nameKey, parseAddress, parseMac } from "../../core/domain/names.ts"
import { catalogueProjection } from "../../core/projections/catalogue.ts"
import { random } from "../support/random.ts"
import { randomCommand } from "../support/random-commands.ts"

const seeds = Array.from({ length: 40 }, (_, i) => 7001 + i)
const commandsEach = 120

const checkClients = (c: Catalogue, said: string) => {
  const all = [...c.clients.values()]
  const distinct = (values: ReadonlyArray<unknown>) => expect(new Set(values).size, said).toBe(values.length)
  distinct(all.map((client) => client.mac))
  distinct(all.map((client) => nameKey(client.name)))
  const addresses = all.map((client) => client.address).filter((a) => a !== null)
  distinct(addresses)
  expect([c.clientsByMac.size, c.clientsByName.size, c.clientsByAddress.size], said).toEqual([
    all.length,
    all.length,
    addresses.length,
  ])
  for (const client of all) {
    expect(parseMac(client.mac), said).toBe(client.mac)
    expect(isClientName(client.name), said).toBe(true)
    if (client.address !== null) expect(parseAddress(client.address), said).toBe(client.address)
  }
}

const checkLinks = (c: Catalogue, said: string) => {
  expect(c.imagesByName.size, said).toBe(c.images.size)
  for (const client of c.clients.values()) {
    for (const [slot, link] of client.links) {
      const image = c.images.get(link.imageId)
      expect(image?.versions[link.version - 1]?.number, said).toBe(link.version)
      if (link.pinned !== null) expect(link.pinned, said).toBe(link.version)
      expect(slot >= 0 && slot <= 15 && link.epoch <= c.position, said).toBe(true)
    }
  }
}

/** What asking again may come to: nothing; a thing that went, or is called otherwise now, is not found; a reset renews every time. */
const wasDone = (body: CommandBody, again: ReturnType<typeof decide>): boolean => {
  if (body.type === "ResetOverlays") return true
  if (Result.isSuccess(again)) return again.success.length === 0
  if (body.type === "RemoveImage") return again.failure.code === "IMAGE_NOT_FOUND"
  return again.failure.code === "CLIENT_NOT_FOUND" && (body.type === "RemoveClients" || body.type === "ChangeClient")
}

const bytes = (c: Catalogue) => JSON.stringify(catalogueProjection.encode(c))

/** Decides, folds and checks; answers how many events there were, or the refusal's code. */
const step = (c: Catalogue, body: CommandBody, said: string): number | string => {
  const before = bytes(c)
  const decision = decide(c, body)
  expect(bytes(c), `a decider changed the catalogue; ${said}`).toBe(before)
  if (Result.isFailure(decision)) return decision.failure.code
  for (const e of decision.success) {
    evolve(c, { ...e, position: c.position + 1 })
    checkClients(c, said)
    checkLinks(c, said)
  }
  const again = decide(c, body)
  expect(wasDone(body, again), `asked again; ${said}`).toBe(true)
  return decision.success.length
}

it("names, MACs and addresses stay unique, links point to versions that exist, and what is asked twice is done once", () => {
  const outcomes = new Map<string, number>()
  for (const seed of seeds) {
    const r = random(seed)
    const c = initial()
    for (let i = 1; i <= commandsEach; i++) {
      const body = randomCommand(r, i)
      const outcome = step(c, body, `seed ${seed}, command ${i}: ${JSON.stringify(body)}`)
      const kind = typeof outcome === "string" ? outcome : `${body.type} ${outcome === 0 ? "nothing" : "events"}`
      outcomes.set(kind, (outcomes.get(kind) ?? 0) + 1)
    }
  }
  // The walk is worth something only if it goes everywhere.
  for (const reached of [
    "AddImage events",
    "AddImage nothing",
    "RecordCheck events",
    "RegisterClient events",
    "RegisterClient nothing",
    "ImportClients events",
    "CopyClient events",
    "LinkClients events",
    "LinkClients nothing",
    "UnlinkClients events",
    "ResetOverlays events",
    "ChangeClient events",
    "ChangeClient nothing",
    "RemoveClients events",
    "RemoveImage events",
    "RelocateImage events",
    "RelocateImage nothing",
    "IMAGE_IN_USE",
    "IMAGE_UNVERIFIED",
    "IMPORT_REJECTED",
    "OVERLAY_KEPT",
    "LINK_NOT_FOUND",
    "IMAGE_EXISTS",
    "IMAGE_NOT_FOUND",
    "IMAGE_VERSION_NOT_FOUND",
    "CLIENT_NOT_FOUND",
    "CLIENT_NAME_TAKEN",
    "CLIENT_MAC_TAKEN",
    "CLIENT_ADDRESS_TAKEN",
    "CLIENT_DIFFERS",
    "SLOT_INVALID",
    "ID_TAKEN",
  ]) {
    expect(outcomes.get(reached) ?? 0, `${reached} was reached`).toBeGreaterThan(0)
  }
})
