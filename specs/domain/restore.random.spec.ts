/** Wherever a random walk has led, clients and links go back to what they were at any moment of it, by events that keep every invariant. */
import * as Result from "effect/Result"
import { expect, it } from "vitest"
import { type Catalogue, evolve, initial } from "../../core/domain/catalogue.ts"
import type { Body } from "../../core/domain/commands.ts"
import { decide } from "../../core/domain/decide.ts"
import type { DomainEvent } from "../../core/domain/events.ts"
import { catalogueProjection } from "../../core/projections/catalogue.ts"
import { id } from "../support/domain.ts"
import { checkInvariants } from "../support/invariants.ts"
import { random } from "../support/random.ts"
import { randomCommand } from "../support/random-commands.ts"

const seeds = Array.from({ length: Number(process.env.IMAGELINK_SEEDS ?? 40) }, (_, i) => 9001 + i)
const copyOf = (c: Catalogue): Catalogue =>
  catalogueProjection.decode(JSON.parse(JSON.stringify(catalogueProjection.encode(c))))
const fold = (c: Catalogue, events: ReadonlyArray<DomainEvent>, said: string) => {
  for (const event of events) {
    evolve(c, { ...event, position: c.position + 1 })
    checkInvariants(c, `${said}, after ${event.type}`)
  }
}
const restoreTo = (then: Catalogue, seed: number): Body<"RestoreLinks"> => ({
  type: "RestoreLinks",
  at: then.position,
  discardKept: true,
  clients: [...then.clients.values()].map(({ id: clientId, name, mac, address, links }, i) => ({
    ...{ clientId, newId: id(9, seed * 1000 + i), name, mac, address },
    links: Array.from(links, ([slot, { imageId, pinned, overlay }]) => ({
      ...{ slot, imageId, pinned, overlay, image: then.images.get(imageId)!.name },
    })),
  })),
})
/** What is brought back: everything about clients but their ids, and what is in their overlays. */
const registry = (c: Catalogue) =>
  [...c.clients.values()]
    .map(({ name, mac, address, links }) => ({
      ...{ name, mac, address },
      links: [...links].map(([slot, { imageId, pinned, overlay }]) => [slot, imageId, pinned, overlay]).sort(),
    }))
    .sort((a, b) => (a.mac < b.mac ? -1 : 1))

it("brings back any moment whose images are all there, and then has nothing left to do", () => {
  const outcomes = new Map<string, number>()
  for (const seed of seeds) {
    const r = random(seed)
    const c = initial()
    const moments: Array<Catalogue> = []
    for (let i = 1; i <= 60; i++) {
      const decision = decide(c, randomCommand(r, i, c))
      if (Result.isFailure(decision)) continue
      fold(c, decision.success, `seed ${seed}`)
      moments.push(copyOf(c))
    }
    for (const then of [initial(), ...Array.from({ length: 8 }, () => r.pick(moments))]) {
      const said = `seed ${seed}, back to ${then.position}`
      const now = copyOf(c)
      const body = restoreTo(then, seed)
      const gone = [...then.clients.values()].some(({ links }) =>
        [...links.values()].some(({ imageId }) => !c.images.has(imageId)),
      )
      const decision = decide(now, body)
      const outcome = Result.isSuccess(decision) ? "restored" : decision.failure.code
      if (gone) expect(outcome, said).not.toBe("restored")
      else if (outcome === "SUPER_CLIENT_ACTIVE")
        expect(
          [...c.images.values()].some(({ superClient }) => superClient !== null),
          said,
        ).toBe(true)
      else if (outcome !== "restored") {
        // A slot that a group links now and that had no link then is the group's business.
        expect(outcome, said).toBe("LINK_NOT_RESTORABLE")
        expect(
          [...c.groups.values()].some(({ links }) => links.size > 0),
          said,
        ).toBe(true)
      }
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1)
      if (Result.isFailure(decision)) continue
      fold(now, decision.success, said)
      for (const { type } of decision.success) outcomes.set(type, (outcomes.get(type) ?? 0) + 1)
      expect(registry(now), said).toEqual(registry(then))
      const again = decide(now, { ...body, clients: body.clients.map((one) => ({ ...one })) })
      expect(Result.isSuccess(again) && again.success, said).toEqual([])
    }
  }
  const needed = [
    "restored",
    "LINK_NOT_RESTORABLE",
    "ClientRemoved",
    "ClientChanged",
    "ClientRegistered",
    "ClientLinked",
  ]
  for (const reached of [...needed, "ClientUnlinked"]) expect(outcomes.get(reached) ?? 0, reached).toBeGreaterThan(0)
}, 120_000)
