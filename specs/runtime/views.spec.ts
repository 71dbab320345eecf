import { describe, expect, it } from "vitest"
import { catalogueProjection } from "../../core/projections/catalogue.ts"
import type { AnyProjection } from "../../core/projections/cell.ts"
import { linkTable } from "../../core/projections/link-table.ts"
import { makeViews } from "../../core/runtime/views.ts"
import { registered } from "../support/domain.ts"
import { memoryMarks } from "../support/mark-store.ts"
import { makeMemoryLog } from "../support/memory-log.ts"

const both: ReadonlyArray<AnyProjection> = [catalogueProjection, linkTable]

/** A log of ten clients that counts which events were read, and views of it. */
const watched = () => {
  const log = makeMemoryLog()
  log.push(Array.from({ length: 10 }, (_, i) => registered(i + 1)))
  let read = 0
  const each: typeof log.each = (after, last, take) =>
    log.each(after, last, (events) => {
      read += events.length
      return take(events)
    })
  const store = memoryMarks()
  return { log, store, views: makeViews({ ...log, each }, store), eventsRead: () => read }
}

describe("rebuilding all projections", () => {
  it("reads the log once, and saves a checkpoint of each", async () => {
    const { views, store, eventsRead } = watched()
    expect(await views.rebuild(both)).toMatchObject([
      { name: "catalogue", position: 10, stopped: undefined },
      { name: "link-table", position: 10, stopped: undefined },
    ])
    expect(eventsRead()).toBe(10)
    expect([...store.files.keys()].sort()).toEqual(["catalogue", "link-table"])
    expect((await views.state(linkTable)).clients.size).toBe(10)
    expect(eventsRead()).toBe(10)
  })

  it("replaces the state of those at work, which go on with what is appended", async () => {
    const { views, log } = watched()
    const before = await views.state(linkTable)
    before.clients.clear()
    const projector = await views.projector(linkTable)
    await views.rebuild(both)
    expect(projector.state(linkTable).clients.size).toBe(10)
    log.push([registered(11)])
    expect((await views.state(linkTable)).clients.size).toBe(11)
    expect((await views.state(catalogueProjection)).clients.size).toBe(11)
  })

  it("says which one an unknown event stopped, and brings the others to the head", async () => {
    const { views, log } = watched()
    log.push([{ type: "ClientRenamed", schemaVersion: 1, data: {} } as never, registered(11)])
    const [catalogue, links] = await views.rebuild(both)
    expect(catalogue).toMatchObject({ position: 10, stopped: { code: "EVENT_UNKNOWN" } })
    expect(links).toMatchObject({ position: 12, unknown: [["ClientRenamed v1", 1]] })
  })
})
