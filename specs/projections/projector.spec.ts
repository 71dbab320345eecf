import * as Effect from "effect/Effect"
import { describe, expect, it } from "vitest"
import { fail } from "../../core/errors.ts"
import type { NewEvent } from "../../core/log/event-log.ts"
import { catalogueProjection } from "../../core/projections/catalogue.ts"
import type { AnyProjection } from "../../core/projections/cell.ts"
import { groupsProjection } from "../../core/projections/groups.ts"
import { imageVersions } from "../../core/projections/image-versions.ts"
import { linkRows, linkTable } from "../../core/projections/link-table.ts"
import type { Projection } from "../../core/projections/projection.ts"
import { makeProjector, type Projector } from "../../core/projections/projector.ts"
import type { CheckpointStore } from "../../core/projections/restore.ts"
import { imageAdded, linked, registered, to } from "../support/domain.ts"
import { type MemoryLog, makeMemoryLog } from "../support/memory-log.ts"
import { random } from "../support/random.ts"
import { randomLog } from "../support/random-log.ts"

const all: ReadonlyArray<AnyProjection> = [catalogueProjection, linkTable, imageVersions, groupsProjection]
const run = <A>(effect: Effect.Effect<A, unknown>) => Effect.runPromise(effect)

const memoryStore = (): CheckpointStore & { readonly files: Map<string, Uint8Array> } => {
  const files = new Map<string, Uint8Array>()
  return {
    files,
    load: (name) => Effect.sync(() => files.get(name)),
    save: (name, bytes) => Effect.sync(() => void files.set(name, bytes)),
  }
}
const bytes = (projector: Projector): ReadonlyArray<string> =>
  all.map((p) => JSON.stringify(p.encode(projector.state(p))))
const started = async (log: MemoryLog, checkpoints?: CheckpointStore, projections = all) => {
  const projector = makeProjector({ log, projections, checkpoints })
  const report = await run(projector.start())
  return { projector, report }
}
const unknown: NewEvent = { type: "LabMoved", schemaVersion: 1, data: {} }
const few = [imageAdded(1), registered(1), linked(1, 0, to(1))]

describe("projections folded in pieces", () => {
  it("are byte for byte what one fold from zero gives, whatever the pieces and checkpoints", async () => {
    for (const seed of [31, 32, 33, 34, 35, 36, 37, 38]) {
      const r = random(seed)
      const whole = randomLog(seed, 600)
      const events = await run(whole.page(0, 10_000))
      const { projector: once } = await started(whole)
      expect(events.length, `seed ${seed}`).toBeGreaterThan(40)

      const log = makeMemoryLog()
      const store = memoryStore()
      let { projector } = await started(log, store)
      for (let done = 0; done < events.length; ) {
        const some = events.slice(done, done + 1 + r.below(12))
        done += some.length
        for (const { type, schemaVersion, data, command, at } of some)
          log.push([{ type, schemaVersion, data }], { command, at })
        if (r.chance(0.5)) projector.applyNew(await run(log.page(done - some.length, some.length)))
        else await run(projector.catchUp())
        if (r.chance(0.3)) await run(projector.checkpoint())
        if (r.chance(0.2)) ({ projector } = await started(log, store))
        if (r.chance(0.1)) await run(projector.rebuild())
      }
      expect(bytes(projector), `seed ${seed}`).toEqual(bytes(once))
      const { projector: restarted } = await started(log, store)
      expect(bytes(restarted), `seed ${seed}, restarted`).toEqual(bytes(once))
    }
  })
  it("checkpoint to the same bytes, whether folded at once or from objects as a decider made them", async () => {
    const log = makeMemoryLog()
    const { projector } = await started(log)
    const pushed = log.push(few)
    projector.applyNew(pushed.map((recorded, i) => ({ ...recorded, data: few[i]!.data })))
    const { projector: once } = await started(log)
    expect(bytes(projector)).toEqual(bytes(once))
  })
})

describe("what is fed", () => {
  it("twice counts once", async () => {
    const log = makeMemoryLog()
    const { projector } = await started(log)
    const events = log.push(few)
    projector.applyNew(events)
    projector.applyNew(events)
    projector.applyNew(events.slice(1))
    await run(projector.catchUp())
    expect(linkRows(projector.state(linkTable))).toHaveLength(1)
    expect(projector.state(catalogueProjection).position).toBe(3)
  })
  it("with a gap is a programmer's mistake", async () => {
    const log = makeMemoryLog()
    const { projector } = await started(log)
    const events = log.push(few)
    expect(() => projector.applyNew(events.slice(1))).toThrow("in order")
  })
  it("as nothing changes nothing", async () => {
    const { projector, report } = await started(makeMemoryLog())
    projector.applyNew([])
    await run(projector.catchUp())
    await run(projector.rebuild())
    expect(report).toEqual({ folded: 0, ignored: [] })
    expect(projector.report().map((p) => p.position)).toEqual([0, 0, 0, 0])
  })
  it("comes in pages when there is more than one page", async () => {
    for (const count of [999, 1000, 1001, 2001]) {
      const log = makeMemoryLog()
      log.push(Array.from({ length: count }, (_, i) => registered(i + 1)))
      const { projector, report } = await started(log)
      expect([report.folded, projector.state(catalogueProjection).clients.size]).toEqual([count, count])
    }
  })
})

describe("a start", () => {
  const checkpointed = async (events: ReadonlyArray<NewEvent> = few, storeId = "store-1") => {
    const log = makeMemoryLog({ storeId })
    const store = memoryStore()
    log.push(events, { command: "a" })
    const { projector } = await started(log, store)
    await run(projector.checkpoint())
    return { log, store, projector }
  }
  const ignored = async (log: MemoryLog, store: CheckpointStore, projections = all) => {
    const { projector, report } = await started(log, store, projections)
    const fresh = await started(log, undefined, projections)
    expect(bytes(projector)).toEqual(bytes(fresh.projector))
    return [report.folded, ...report.ignored.map(({ name, why }) => `${name}: ${why}`)]
  }

  it("folds only what came after the checkpoint", async () => {
    const { log, store } = await checkpointed()
    expect(await ignored(log, store)).toEqual([0])
    log.push([registered(2), registered(3)])
    expect(await ignored(log, store)).toEqual([2])
  })
  it("folds from zero a projection whose checkpoint is missing or damaged anywhere", async () => {
    const { log, store } = await checkpointed()
    const good = store.files.get("link-table")!
    for (const at of [0, 22, 23, 86, 87, 88, good.length - 1]) {
      const flipped = Uint8Array.from(good)
      flipped[at]! ^= 1
      store.files.set("link-table", flipped)
      expect((await ignored(log, store))[0], `byte ${at}`).toBe(3)
    }
    for (const length of [0, 1, 87, 88, good.length - 1]) {
      store.files.set("link-table", good.subarray(0, length))
      expect((await ignored(log, store)).slice(0, 1), `${length} bytes`).toEqual([3])
    }
    store.files.delete("link-table")
    expect(await ignored(log, store)).toEqual([3])
    store.files.set("link-table", good)
    expect(await ignored(log, store)).toEqual([0])
  })
  it("says why a checkpoint was not used", async () => {
    const { log, store } = await checkpointed()
    store.files.set("link-table", Buffer.from("x"))
    const cut = store.files.get("image-versions")!
    store.files.set("image-versions", cut.subarray(0, cut.length - 1))
    expect(await ignored(log, store)).toEqual([
      3,
      "link-table: it is not a checkpoint",
      "image-versions: its bytes do not match their checksum",
    ])
  })
  it("ignores a checkpoint of another projection, version or store", async () => {
    const { log, store } = await checkpointed()
    const newer = all.map((p) => (p === linkTable ? { ...linkTable, version: linkTable.version + 1 } : p))
    const { report } = await started(log, store, newer)
    expect(report).toEqual({
      folded: 3,
      ignored: [{ name: "link-table", why: `it is of version ${linkTable.version}` }],
    })
    store.files.set("link-table", store.files.get("catalogue")!)
    expect(await ignored(log, store)).toEqual([3, "link-table: it is of catalogue"])
    const other = await checkpointed(few, "store-2")
    expect((await ignored(log, other.store))[1]).toBe("catalogue: it is of another store")
  })
  it("ignores a checkpoint ahead of the log, or of a history the log no longer has", async () => {
    const { log, store } = await checkpointed()
    log.truncate(2)
    expect((await ignored(log, store)).slice(1)).toEqual(all.map((p) => `${p.name}: the log has another history`))
    log.push([registered(7)], { command: "b" })
    expect((await ignored(log, store)).slice(1)).toEqual(all.map((p) => `${p.name}: the log has another history`))
  })
  it("goes on from zero when checkpoints cannot be read", async () => {
    const { log } = await checkpointed()
    const broken: CheckpointStore = {
      load: () => Effect.fail(fail("IO_ERROR", { what: "the checkpoint" })),
      save: () => Effect.void,
    }
    expect((await ignored(log, broken))[1]).toBe("catalogue: input/output error on the checkpoint")
  })
  it("without anywhere to keep checkpoints folds from zero", async () => {
    const log = makeMemoryLog()
    log.push(few)
    const { projector, report } = await started(log)
    await run(projector.checkpoint())
    expect(report).toEqual({ folded: 3, ignored: [] })
  })
})

describe("an unknown event", () => {
  it("is counted by the projections and stops the catalogue where it is", async () => {
    const log = makeMemoryLog()
    log.push([
      ...few,
      unknown,
      registered(2),
      unknown,
      { ...unknown, schemaVersion: 2 },
      { ...registered(3), schemaVersion: 2 },
    ])
    const { projector } = await started(log)
    const [catalogue, links] = projector.report()
    expect([catalogue!.position, catalogue!.stopped?.code, catalogue!.unknown]).toEqual([3, "EVENT_UNKNOWN", []])
    expect([links!.position, links!.stopped, links!.unknown]).toEqual([
      8,
      undefined,
      [
        ["LabMoved v1", 2],
        ["LabMoved v2", 1],
        ["ClientRegistered v2", 1],
      ],
    ])
    projector.applyNew(log.push([registered(4)]))
    expect(projector.report().map((p) => p.position)).toEqual([3, 9, 9, 9])
  })
  it("is still counted, and still stops the catalogue, after a restart from checkpoints", async () => {
    const log = makeMemoryLog()
    const store = memoryStore()
    log.push([...few, unknown])
    const { projector } = await started(log, store)
    await run(projector.checkpoint())
    const { projector: again } = await started(log, store)
    expect(again.report().map((p) => [p.position, p.unknown.length, p.stopped?.code])).toEqual([
      [3, 0, "EVENT_UNKNOWN"],
      [4, 1, undefined],
      [4, 1, undefined],
      [4, 1, undefined],
    ])
  })
  it("is the only refusal that is read past", async () => {
    const log = makeMemoryLog()
    log.push(few)
    const damaged = { ...log, each: () => Effect.fail(fail("STORE_DAMAGED", { file: "000003.log", why: "spec" })) }
    const result = await run(Effect.result(makeProjector({ log: damaged, projections: all }).start()))
    expect(result).toMatchObject({ _tag: "Failure", failure: { code: "STORE_DAMAGED" } })
  })
  it("that has become known since is folded from zero", async () => {
    const log = makeMemoryLog()
    const store = memoryStore()
    log.push([...few, unknown])
    const names: Projection<Array<string>> = {
      name: "names",
      version: 1,
      initial: () => [],
      apply: (state, recorded) => recorded.type !== "LabMoved" && state.push(recorded.type) > 0,
      encode: (state) => state,
      decode: (json) => json as Array<string>,
    }
    const { projector } = await started(log, store, [names])
    await run(projector.checkpoint())
    const text = Buffer.from(store.files.get("names")!).toString()
    expect(text).toContain('"unknown":[["LabMoved",1,1]]')
    expect((await started(log, store, [names])).report).toEqual({ folded: 0, ignored: [] })

    // As if the version that wrote it had not known ClientRegistered yet.
    const { encodeCheckpoint, decodeCheckpoint } = await import("../../core/projections/checkpoint-file.ts")
    const checkpoint = decodeCheckpoint(store.files.get("names")!)
    if (typeof checkpoint === "string") throw new Error(checkpoint)
    store.files.set("names", encodeCheckpoint({ ...checkpoint, unknown: [["ClientRegistered", 1, 1]] }))
    expect((await started(log, store, [names])).report).toEqual({
      folded: 4,
      ignored: [{ name: "names", why: "it skipped events that are known now" }],
    })
  })
})
