/** Random commands about a few groups of the same few clients, so that groups, own links and kept overlays meet all the time. */
import * as Result from "effect/Result"
import { expect, it } from "vitest"
import { type Catalogue, initial } from "../../core/domain/catalogue.ts"
import type { CommandBody } from "../../core/domain/commands.ts"
import { decide } from "../../core/domain/decide.ts"
import type { DomainEvent } from "../../core/domain/events.ts"
import { evolve } from "../../core/domain/evolve.ts"
import { groupsProjection } from "../../core/projections/groups.ts"
import {
  addImage,
  clientId,
  copy,
  link,
  mac,
  pc,
  register,
  removeClients,
  resetOverlays,
  unlink,
} from "../support/domain.ts"
import { checkGroups, foldModel, groupModel } from "../support/group-invariants.ts"
import { changeGroup, createGroup, linkGroup, removeGroup, unlinkGroup } from "../support/groups.ts"
import { makeMemoryLog } from "../support/memory-log.ts"
import { type Random, random } from "../support/random.ts"

const seeds = Array.from({ length: 25 }, (_, i) => 9101 + i)
const commandsEach = 160

const prelude: ReadonlyArray<CommandBody> = [
  addImage(1),
  addImage(2, "debian"),
  ...[1, 2, 3, 4].map((n) => register(n)),
  createGroup(1, [pc(1), pc(2)], { name: "lab" }),
  createGroup(2, [pc(2), pc(3)], { name: "room" }),
]

const someone = (r: Random) => r.pick([pc(1), pc(2), pc(3), pc(4), "group:lab", "group:room"])
const keeps = (r: Random) => ({ discardKept: r.chance(0.7) })
const policy = (r: Random) => (r.chance(0.5) ? { overlay: r.pick(["keep", "discard"] as const) } : {})

const randomCommand = (r: Random, fresh: number): CommandBody => {
  const group = r.pick(["lab", "room"])
  const image = r.pick(["win11", "debian", "win11@1"])
  const slot = r.below(2)
  switch (r.below(11)) {
    case 0:
      return createGroup(fresh, [someone(r)], { name: group })
    case 1:
      return changeGroup({ add: [someone(r)], ...keeps(r) }, group)
    case 2:
      return changeGroup({ drop: [someone(r)], options: { menu: r.pick(["a", "b", null]) }, ...keeps(r) }, group)
    case 3:
    case 4:
      return linkGroup(image, { slot, ...policy(r), ...keeps(r) }, group)
    case 5:
      return unlinkGroup({ slot, ...keeps(r) }, group)
    case 6:
    case 7:
      return link([someone(r)], image, { slot, ...policy(r), ...keeps(r) })
    case 8:
      return { ...unlink([someone(r)], slot), ...keeps(r) } as CommandBody
    case 9: {
      const n = 1 + r.below(4)
      return r.chance(0.5)
        ? copy(someone(r), [{ clientId: clientId(fresh), mac: mac(n) }])
        : register(fresh, { mac: mac(n) })
    }
    default:
      if (r.chance(0.3)) return removeGroup(keeps(r), group)
      return r.chance(0.4) ? removeClients([pc(1 + r.below(4))], keeps(r)) : resetOverlays([someone(r)], slot)
  }
}

/** What an event shows of whose link it was and is: `own → group`. */
const glimpse = ({ type, data }: DomainEvent): string => {
  const whose = (state: { group?: unknown } | null) => (state === null ? "none" : state.group ? "group" : "own")
  if (type === "ClientLinked") return `${whose(data.from)} → ${whose(data.to)}`
  return type === "ClientUnlinked" ? `${whose(data.from)} → none` : type
}

/** An overlay is renewed by its own slot's event only, and a kept one by none that was not told to discard it, but a reset. */
const checkKept = (before: Catalogue["clients"], { type, data }: DomainEvent, body: CommandBody, said: string) => {
  if (type !== "ClientLinked" && type !== "ClientUnlinked") return
  const was = before.get(data.client.id)?.links.get(data.slot)
  const same = type === "ClientLinked" && data.from && data.to.version === data.from.version
  const renewed = !same || data.to.image.id !== data.from!.image.id || data.to.overlay !== data.from!.overlay
  if (was?.overlay === "keep" && renewed) expect("discardKept" in body && body.discardKept, said).toBe(true)
}

const copyOf = (c: Catalogue) => new Map(Array.from(c.clients, ([id, v]) => [id, { ...v, links: new Map(v.links) }]))

it("what a client gets is its own link, else the one group's, after every command", () => {
  const seen = new Map<string, number>()
  const count = (what: string) => seen.set(what, (seen.get(what) ?? 0) + 1)
  for (const seed of seeds) {
    const r = random(seed)
    const log = makeMemoryLog()
    const [catalogue, model, groups] = [initial(), groupModel(), groupsProjection.initial()]
    for (let i = 1; i <= commandsEach; i++) {
      const body = prelude[i - 1] ?? randomCommand(r, i)
      const said = `seed ${seed}, command ${i}: ${JSON.stringify(body)}`
      const decision = decide(catalogue, body)
      if (Result.isFailure(decision)) {
        count(decision.failure.code)
        continue
      }
      const before = copyOf(catalogue)
      for (const recorded of log.push(decision.success)) {
        evolve(catalogue, recorded)
        groupsProjection.apply(groups, recorded)
      }
      for (const event of decision.success) {
        foldModel(model, event)
        checkKept(before, event, body, said)
        count(glimpse(event))
      }
      checkGroups(model, catalogue, groups, said)
    }
  }
  for (const reached of [
    ...["none → group", "group → group", "group → own", "own → group", "own → own", "group → none", "own → none"],
    ...["GROUP_CONFLICT", "GROUP_EXISTS", "GROUP_NOT_FOUND", "LINK_FROM_GROUP", "OVERLAY_KEPT", "GroupChanged"],
  ])
    expect(seen.get(reached) ?? 0, `${reached} was reached`).toBeGreaterThan(5)
})
