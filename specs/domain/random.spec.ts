/** Random command sequences: whatever is asked in whatever order, the catalogue never contradicts itself. */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { expect, it } from "vitest"
import { type Catalogue, initial } from "../../core/domain/catalogue.ts"
import type { CommandBody } from "../../core/domain/commands.ts"
import { decide } from "../../core/domain/decide.ts"
import { type DomainEvent, eventShapes } from "../../core/domain/events.ts"
import { evolve } from "../../core/domain/evolve.ts"
import type { Recorded } from "../../core/log/event-log.ts"
import { catalogueProjection } from "../../core/projections/catalogue.ts"
import { groupsProjection } from "../../core/projections/groups.ts"
import { imageVersions } from "../../core/projections/image-versions.ts"
import { linkTable } from "../../core/projections/link-table.ts"
import { checkGroups, foldModel, groupModel } from "../support/group-invariants.ts"
import { checkImageVersions, checkInvariants, checkLinkTable } from "../support/invariants.ts"
import { random } from "../support/random.ts"
import { randomCommand } from "../support/random-commands.ts"

const seeds = Array.from({ length: 40 }, (_, i) => 7001 + i)
const commandsEach = 200

/** The catalogue, and what shows it, all folded from the same events. */
const world = () => ({
  catalogue: initial(),
  table: linkTable.initial(),
  images: imageVersions.initial(),
  groups: groupsProjection.initial(),
  model: groupModel(),
  /** Ids that were ever given to something. */
  ids: new Set<string>(),
})
type World = ReturnType<typeof world>

const epochs = (c: Catalogue) =>
  new Map(
    [...c.clients.values()].flatMap(({ id, links }) =>
      Array.from(links, ([slot, link]) => [`${id}/${slot}`, link.epoch] as const),
    ),
  )

const renewers: ReadonlySet<string> = new Set([
  "ClientLinked",
  "OverlayReset",
  "OverlayResetArmed",
  "SuperClientSet",
  "SuperClientCleared",
  "ImageCommitted",
])

/** Only an event about this very slot may renew its overlay; any other would throw away what a client wrote. */
const checkEpochs = (before: ReadonlyMap<string, number>, c: Catalogue, { type, data }: DomainEvent, said: string) => {
  const renews = renewers.has(type) && "client" in data && "slot" in data ? `${data.client.id}/${data.slot}` : undefined
  const resumed = type === "SuperClientSet" ? data.resumes : null
  for (const [slot, epoch] of epochs(c)) {
    if (slot !== renews) expect(epoch, `${slot} after ${type}; ${said}`).toBe(before.get(slot))
    else expect([before.get(slot), c.position, resumed], said).toContain(epoch)
  }
}

/** An id is given once, and what had it is there or known to be gone. */
const checkIds = ({ ids, catalogue: c }: World, { type, data }: DomainEvent, said: string) => {
  const isNewImage = type === "ImageAdded" || type === "ImageCreated"
  const group = type === "GroupChanged" && data.from === null ? data.group.id : undefined
  const made = isNewImage ? data.image.id : type === "ClientRegistered" ? data.client.id : group
  if (made !== undefined) {
    expect(ids.has(made), `${made} was given twice; ${said}`).toBe(false)
    ids.add(made)
  }
  expect([...c.clients.keys(), ...c.images.keys(), ...c.groups.keys(), ...c.removed.keys()].sort(), said).toEqual(
    [...ids].sort(),
  )
}

const fold = (w: World, event: DomainEvent, said: string) => {
  const { catalogue, table, images, groups, model } = w
  const before = epochs(catalogue)
  const recorded: Recorded = {
    ...event,
    position: catalogue.position + 1,
    at: catalogue.position,
    command: "",
    actor: { kind: "cli", name: "" },
    server: "",
  }
  const [, shape] = eventShapes[event.type]
  Schema.encodeUnknownSync(shape as Schema.Codec<unknown>, { onExcessProperty: "error" })(event.data)
  evolve(catalogue, recorded)
  linkTable.apply(table, recorded)
  imageVersions.apply(images, recorded)
  groupsProjection.apply(groups, recorded)
  foldModel(model, event)
  checkInvariants(catalogue, said)
  checkIds(w, event, said)
  checkEpochs(before, catalogue, event, said)
  checkLinkTable(catalogue, table, said)
  checkImageVersions(catalogue, images, said)
}

/** The catalogue as a checkpoint gives it back. */
const restored = (c: Catalogue): Catalogue => catalogueProjection.decode(JSON.parse(bytes(c)))

/** What asking again may come to: nothing; a thing that went, or is called otherwise now, is not found; a reset renews every time, a rollback without a goal goes on. */
const wasDone = (body: CommandBody, again: ReturnType<typeof decide>): boolean => {
  if (body.type === "ResetOverlays" || body.type === "RecordBoots") return true
  if (body.type === "RollBackImage" && body.to === undefined) return true
  if (body.type === "RecordCheck" && body.again) return true
  if (Result.isSuccess(again)) return again.success.length === 0
  if (body.type === "UnlinkClients") return again.failure.code === "LINK_FROM_GROUP"
  if (body.type === "RemoveGroup" || body.type === "ChangeGroup") return again.failure.code === "GROUP_NOT_FOUND"
  if (body.type === "RemoveImage") return again.failure.code === "IMAGE_NOT_FOUND"
  if (body.type === "CommitImage") return again.failure.code === "NO_SUPER_CLIENT"
  if (body.type === "ClearSuperClient") return again.failure.code === "SUPER_CLIENT_NOT"
  if (body.type === "CreateImage") return again.failure.code === "IMAGE_EXISTS"
  return again.failure.code === "CLIENT_NOT_FOUND" && (body.type === "RemoveClients" || body.type === "ChangeClient")
}

const bytes = (c: Catalogue) => JSON.stringify(catalogueProjection.encode(c))

/** Decides, folds and checks; answers how many events there were, or the refusal's code. */
const step = (w: World, body: CommandBody, said: string): number | string => {
  const before = bytes(w.catalogue)
  const decision = decide(w.catalogue, body)
  expect(bytes(w.catalogue), `a decider changed the catalogue; ${said}`).toBe(before)
  if (Result.isFailure(decision)) {
    const again = decide(restored(w.catalogue), body)
    expect(Result.isFailure(again) && again.failure.toJSON(), said).toEqual(decision.failure.toJSON())
    return decision.failure.code
  }
  for (const event of decision.success) fold(w, event, said)
  checkGroups(w.model, w.catalogue, w.groups, said)
  expect(bytes(restored(w.catalogue)), said).toBe(bytes(w.catalogue))
  const again = decide(restored(w.catalogue), body)
  expect(wasDone(body, again), `asked again; ${said}`).toBe(true)
  return decision.success.length
}

it("names, MACs and addresses stay unique, links point to what is there, and what is asked twice is done once", () => {
  const outcomes = new Map<string, number>()
  for (const seed of seeds) {
    const r = random(seed)
    const w = world()
    for (let i = 1; i <= commandsEach; i++) {
      const body = randomCommand(r, i, w.catalogue)
      const outcome = step(w, body, `seed ${seed}, command ${i}: ${JSON.stringify(body)}`)
      const kind = typeof outcome === "string" ? outcome : `${body.type} ${outcome === 0 ? "nothing" : "events"}`
      outcomes.set(kind, (outcomes.get(kind) ?? 0) + 1)
    }
  }
  // The walk is worth something only if it goes everywhere.
  for (const reached of [
    "AddImage events",
    "AddImage nothing",
    "RecordCheck events",
    "RecordDamage events",
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
    "CreateGroup events",
    "CreateGroup nothing",
    "ChangeGroup events",
    "ChangeGroup nothing",
    "LinkGroup events",
    "LinkGroup nothing",
    "UnlinkGroup events",
    "RemoveGroup events",
    "GROUP_NOT_FOUND",
    "GROUP_EXISTS",
    "GROUP_NAME_INVALID",
    "GROUP_CONFLICT",
    "LINK_FROM_GROUP",
    "OPTION_INVALID",
    "ID_TAKEN",
    "CreateImage events",
    "SealImage events",
    "SealImage nothing",
    "CommitImage events",
    "RollBackImage events",
    "RollBackImage nothing",
    "RetireVersion events",
    "RetireVersion nothing",
    "FlattenVersion events",
    "FlattenVersion nothing",
    "FLATTEN_NOTHING",
    "FLATTEN_STALE",
    "PlaceImage events",
    "PlaceImage nothing",
    "SetSuperClient events",
    "SetSuperClient nothing",
    "ClearSuperClient events",
    "SetNextBoot events",
    "SetNextBoot nothing",
    "RecordBoots events",
    "IMAGE_NOT_SEALED",
    "IMAGE_VERSION_RETIRED",
    "IMAGE_NOTHING_BEFORE",
    "IMAGE_SIZE_ODD",
    "VERSION_IN_USE",
    "NO_SUPER_CLIENT",
    "COMMIT_STALE",
    "SUPER_CLIENT_TAKEN",
    "SUPER_CLIENT_UNLINKED",
    "SUPER_CLIENT_NOT",
    "SUPER_CLIENT_ACTIVE",
    "SUPER_OVERLAY_NOT_FOUND",
  ]) {
    expect(outcomes.get(reached) ?? 0, `${reached} was reached`).toBeGreaterThan(0)
  }
})
