/** A reset or a removal by name, while clients are renamed at the worst moment. */
import { describe, expect, it } from "vitest"
import type { Catalogue } from "../../core/domain/catalogue.ts"
import type { DomainEvent } from "../../core/domain/events.ts"
import { evolve } from "../../core/domain/evolve.ts"
import { fail, isImagelinkError } from "../../core/errors.ts"
import { limits } from "../../core/limits.ts"
import type { DiskService } from "../../core/runtime/disks.ts"
import { type Held, whileUnused } from "../../core/runtime/operations/while-unused.ts"
import type { Changed } from "../../core/runtime/site/operation.ts"
import { catalogueOf, clientChanged, clientId, imageAdded, linked, registered, state, to } from "../support/domain.ts"

const base = [imageAdded(1), registered(1), registered(2), linked(1, 0, to(1)), linked(2, 0, to(1))]
const rename = (n: number, from: string, name: string) => clientChanged(n, state(n, from), state(n, name))
/** PC-002 gets the name that PC-001 had. */
const swap = [rename(1, "PC-001", "old"), rename(2, "PC-002", "PC-001")]
const done: Changed = { events: [], position: 0, dryRun: false, repeated: false }

interface World {
  readonly catalogue: Catalogue
  readonly held: Array<string>
  readonly swept: Array<string>
  readonly decidedAt: Array<number | undefined>
  free: boolean
}

/** `meanwhile` is what happens while the n-th hold waits; `running` are the clients with a session. */
const start = (
  ask: Partial<Held> = {},
  meanwhile: ReadonlyArray<ReadonlyArray<DomainEvent>> = [],
  running: ReadonlyArray<string> = [],
) => {
  const world: World = { catalogue: catalogueOf(base), held: [], swept: [], decidedAt: [], free: true }
  const push = (events: ReadonlyArray<DomainEvent> = []) => {
    for (const e of events) evolve(world.catalogue, { ...e, position: world.catalogue.position + 1 })
  }
  let holds = 0
  const key = (s: { clientId: string; slot: number }) => `${s.clientId}/${s.slot}`
  const disks = {
    hold: async (slots) => {
      world.held.push(...slots.map(key))
      push(meanwhile[holds++])
      world.free = false
      return () => {
        world.free = true
      }
    },
    sessions: (slot) => (running.includes(slot.clientId) ? 1 : 0),
    sweep: async (slots) => void world.swept.push(...(slots ?? []).map(key)),
  } as Pick<DiskService, "hold" | "sessions" | "sweep"> as DiskService
  const change: Held["change"] = async ({ expectedPosition }) => {
    world.decidedAt.push(expectedPosition)
    return done
  }
  const answer = whileUnused({
    disks,
    catalogue: async () => world.catalogue,
    names: ["PC-001"],
    slotsOfEach: [0],
    options: { actor: { kind: "cli", name: "operator" } },
    change,
    ...ask,
  }).catch((e) => {
    if (!isImagelinkError(e)) throw e
    return e.code
  })
  return { world, answer }
}
const first = `${clientId(1)}/0`
const second = `${clientId(2)}/0`

describe("a change that needs its slots unused", () => {
  it("is decided where its names were looked up, holds those slots, and lets go", async () => {
    const { world, answer } = start()
    expect(await answer).toBe(done)
    expect(world).toMatchObject({ held: [first], swept: [first], decidedAt: [base.length], free: true })
  })

  it("looks its names up again when they became another client's, and holds that one's slots", async () => {
    const { world, answer } = start({}, [swap])
    expect(await answer).toBe(done)
    expect(world).toMatchObject({ held: [first, second], swept: [second], decidedAt: [base.length + 2], free: true })
  })

  it("is refused when the client that has the name now is running", async () => {
    const { world, answer } = start({}, [swap], [clientId(2)])
    expect(await answer).toBe("OVERLAY_IN_USE")
    expect(world).toMatchObject({ swept: [], decidedAt: [], free: true })
  })

  it("leaves it to the change to refuse names that are nobody's any more", async () => {
    const change = async () => Promise.reject(fail("CLIENT_NOT_FOUND", { client: "PC-001" }))
    expect(await start({ change }, [[rename(1, "PC-001", "old")]]).answer).toBe("CLIENT_NOT_FOUND")
    expect(await start({ names: ["nobody"] }).answer).toBe(done)
  })

  it("begins anew when the log moved on between, so many times and no more", async () => {
    let conflicts = limits.commandConflictRetriesMax
    const change = async () => {
      if (conflicts-- > 0) throw fail("LOG_CONFLICT", { expected: 1, actual: 2 })
      return done
    }
    expect(await start({ change }).answer).toBe(done)
    conflicts = limits.commandConflictRetriesMax + 1
    const { world, answer } = start({ change })
    expect(await answer).toBe("LOG_CONFLICT")
    expect(world.free).toBe(true)
  })

  it("is refused at once, with the position that its sender looked at, when that has passed", async () => {
    const actor = { kind: "cli", name: "operator" } as const
    const { world, answer } = start({ options: { actor, expectedPosition: 3 } }, [swap])
    expect(await answer).toBe("LOG_CONFLICT")
    expect(world.held).toEqual([first])
    const still = start({ options: { actor, expectedPosition: 3 } })
    await still.answer
    expect(still.world.decidedAt).toEqual([3])
  })
})
