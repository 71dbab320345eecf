/** Wherever a random walk has led, clients and links go back to what they were at any moment of it, by events that keep every invariant. */
import * as Result from "effect/Result"
import { expect, it } from "vitest"
import { type Catalogue, initial } from "../../core/domain/catalogue.ts"
import type { Body } from "../../core/domain/commands.ts"
import { decide } from "../../core/domain/decide.ts"
import type { DomainEvent } from "../../core/domain/events.ts"
import { evolve } from "../../core/domain/evolve.ts"
import { catalogueProjection } from "../../core/projections/catalogue.ts"
import { id, removeClients, removeImage } from "../support/domain.ts"
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
    links: Array.from(links, ([slot, { imageId, pinned, overlay, group }]) => ({
      ...{ slot, imageId, pinned, overlay, image: then.images.get(imageId)!.name },
      ...(group === undefined ? {} : { group }),
    })),
  })),
  groups: [...then.groups.values()].map(({ id: groupId, name, members, links, options }, i) => ({
    ...{ groupId, newId: id(10, seed * 1000 + i), name, options, clients: [...members] },
    links: Array.from(links, ([slot, link]) => ({ slot, ...link, image: then.images.get(link.imageId)!.name })),
  })),
})
/** What is brought back: everything about clients but their ids, and what is in their overlays. */
const registry = (c: Catalogue) => ({
  clients: [...c.clients.values()]
    .map(({ name, mac, address, links }) => ({
      ...{ name, mac, address },
      links: [...links]
        .map(([slot, { imageId, pinned, overlay, group }]) => {
          return [slot, imageId, pinned, overlay, group && c.groups.get(group)!.name]
        })
        .sort(),
    }))
    .sort((a, b) => (a.mac < b.mac ? -1 : 1)),
  groups: [...c.groups.values()]
    .map(({ name, members, links, options }) => ({
      ...{ name, options },
      members: Array.from(members, (member) => c.clients.get(member)!.mac).sort(),
      links: [...links].sort(),
    }))
    .sort((a, b) => (a.name < b.name ? -1 : 1)),
})

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
    // Every fourth walk ends with everything gone that was linked, images too.
    const clearing = [
      removeClients(
        [...c.clients.values()].map(({ name }) => name),
        { discardKept: true },
      ),
      ...[...c.groups.values()].map(({ name: group }) => ({ type: "RemoveGroup", group }) as const),
      ...[...c.images.values()].map(({ name }) => removeImage(name)),
    ]
    for (const body of seed % 4 === 0 ? clearing : []) {
      const decision = decide(c, body)
      if (Result.isSuccess(decision)) fold(c, decision.success, `seed ${seed}`)
    }
    for (const then of [initial(), ...Array.from({ length: 8 }, () => r.pick(moments))]) {
      const said = `seed ${seed}, back to ${then.position}`
      const now = copyOf(c)
      const body = restoreTo(then, seed)
      const wanted = [...then.clients.values(), ...then.groups.values()].flatMap(({ links }) => [...links.values()])
      const gone = wanted.some(({ imageId, pinned }) => {
        const image = c.images.get(imageId)
        return image === undefined || (pinned !== null && image.versions[pinned - 1]?.retired !== false)
      })
      const decision = decide(now, body)
      const outcome = Result.isSuccess(decision) ? "restored" : decision.failure.code
      if (gone) expect(outcome, said).not.toBe("restored")
      // A super client keeps its slot; and groups that have exchanged their names do not get them back.
      else expect(["restored", "SUPER_CLIENT_ACTIVE", "GROUP_EXISTS"], said).toContain(outcome)
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
