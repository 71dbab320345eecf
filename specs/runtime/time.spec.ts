import { describe, expect, it } from "vitest"
import type { NewEvent } from "../../core/log/event-log.ts"
import { logOperations } from "../../core/runtime/operations/log.ts"
import { timeOperations } from "../../core/runtime/operations/time.ts"
import { viewOperations } from "../../core/runtime/operations/views.ts"
import type { Parts } from "../../core/runtime/parts.ts"
import type { Input } from "../../core/runtime/site.ts"
import { makeViews } from "../../core/runtime/views.ts"
import { imageAdded, linked, pc, registered, to, unlinked } from "../support/domain.ts"
import { memoryMarks } from "../support/mark-store.ts"
import { makeMemoryLog } from "../support/memory-log.ts"

const options = { actor: { kind: "cli", name: "spec" } } as const

/** Each event at its own time: event 1 at 1000, event 2 at 2000; those of one list at the same. */
const siteOf = (...steps: ReadonlyArray<NewEvent | ReadonlyArray<NewEvent>>) => {
  const log = makeMemoryLog()
  for (const [i, step] of steps.entries()) log.push("type" in step ? [step] : step, { at: (i + 1) * 1000 })
  const store = memoryMarks()
  const parts = { log, views: makeViews(log, store) } as unknown as Parts
  return { log_: log, store, ...timeOperations(parts), ...logOperations(parts), ...viewOperations(parts) }
}
const lab = () =>
  siteOf(imageAdded(1), imageAdded(2, "linux"), registered(1), registered(2), linked(1, 0, to(1)), [
    linked(2, 0, to(1)),
    linked(1, 0, to(2, "linux"), to(1)),
  ])

describe("links at a moment", () => {
  const table = async (moment: Input<"links.at">) => {
    const { rows, ...asOf } = await lab()["links.at"](moment, options)
    return { ...asOf, rows: rows.map((r) => `${r.client} ${r.image}`) }
  }

  it("are those after that position, from before the first event to the head", async () => {
    expect(await table({ position: 0 })).toEqual({ position: 0, at: null, rows: [] })
    expect(await table({ position: 4 })).toEqual({ position: 4, at: 4000, rows: [] })
    expect(await table({ position: 5 })).toEqual({ position: 5, at: 5000, rows: ["PC-001 win11"] })
    expect(await table({ position: 7 })).toEqual({ position: 7, at: 6000, rows: ["PC-001 linux", "PC-002 win11"] })
    expect(await table({})).toEqual(await table({ position: 7 }))
  })

  it("past the head are refused: nobody knows them yet", async () => {
    await expect(table({ position: 8 })).rejects.toMatchObject({ code: "POSITION_NOT_FOUND", exit: 1 })
    await expect(table({ position: -1 })).rejects.toMatchObject({ code: "POSITION_NOT_FOUND" })
    await expect(table({ position: 1.5 })).rejects.toMatchObject({ code: "POSITION_NOT_FOUND" })
    await expect(table({ position: 1, at: 1000 })).rejects.toMatchObject({ code: "USAGE" })
  })

  it("at a time are those of the last position not after it", async () => {
    const position = async (at: number) => (await table({ at })).position
    expect([await position(0), await position(999)]).toEqual([0, 0])
    expect([await position(1000), await position(1999), await position(2000)]).toEqual([1, 1, 2])
    expect(await position(5999)).toBe(5)
  })

  it("at the time of two events of one millisecond have both", async () => {
    expect(await table({ at: 6000 })).toEqual({ position: 7, at: 6000, rows: ["PC-001 linux", "PC-002 win11"] })
  })

  it("at a time that is yet to come are those of the head", async () => {
    expect((await table({ at: 9e12 })).position).toBe(7)
  })

  it("of an empty log are none", async () => {
    expect(await siteOf()["links.at"]({ at: 5 }, options)).toEqual({ position: 0, at: null, rows: [] })
  })
})

describe("the difference between two moments", () => {
  const diff = async (from: number, until: number) => {
    const answer = await lab()["links.diff"]({ from: { position: from }, to: { position: until } }, options)
    const names = (rows: ReadonlyArray<{ client: string; image: string }>) => rows.map((r) => `${r.client} ${r.image}`)
    return {
      added: names(answer.added),
      removed: names(answer.removed),
      changed: answer.changed.map((c) => `${c.from.client} ${c.from.image} → ${c.to.image} (${c.fields})`),
    }
  }

  it("names rows that came and rows that changed", async () => {
    expect(await diff(5, 7)).toEqual({
      added: ["PC-002 win11"],
      removed: [],
      changed: ["PC-001 win11 → linux (image)"],
    })
  })

  it("the other way round names what went", async () => {
    expect(await diff(7, 5)).toEqual({
      added: [],
      removed: ["PC-002 win11"],
      changed: ["PC-001 linux → win11 (image)"],
    })
  })

  it("between a moment and itself is nothing, at both ends of the log too", async () => {
    for (const position of [0, 5, 7])
      expect(await diff(position, position)).toEqual({ added: [], removed: [], changed: [] })
  })

  it("says which positions two times stood for", async () => {
    const answer = await lab()["links.diff"]({ from: { at: 1 }, to: { at: 5500 } }, options)
    expect([answer.from, answer.to]).toEqual([
      { position: 0, at: null },
      { position: 5, at: 5000 },
    ])
  })
})

describe("an image at a moment", () => {
  it("shows its versions and who used each then", async () => {
    const { image, users, position } = await lab()["image.show"]({ name: "WIN11", position: 5 }, options)
    expect([position, image.name, image.current, image.links]).toEqual([5, "win11", 1, 1])
    expect(users.map((u) => [u.version, u.links.map((l) => l.client)])).toEqual([[1, ["PC-001"]]])
  })

  it("that was not there yet is not found", async () => {
    const site = lab()
    await expect(site["image.show"]({ name: "linux", position: 1 }, options)).rejects.toMatchObject({
      code: "IMAGE_NOT_FOUND",
    })
    expect((await site["image.show"]({ name: "linux", position: 2 }, options)).image.links).toBe(0)
  })
})

describe("a client at a moment", () => {
  it("shows its effective links with their epoch, where they come from, and its changes until then", async () => {
    const { client, lastChanges } = await lab()["client.show"]({ client: "pc-001", position: 6 }, options)
    expect(client).toMatchObject({ name: "PC-001", mac: "52:54:00:00:00:01", address: null })
    expect(client.links).toEqual([
      { slot: 0, image: "win11", version: 1, follows: true, overlay: "discard", epoch: 5, source: "own" },
    ])
    expect(lastChanges.map((l) => [l.position, l.what])).toEqual([
      [3, "registered"],
      [5, "linked"],
    ])
  })

  it("shows every setting with who says so, and no server's word where none runs", async () => {
    const { client, live, lastBoot } = await lab()["client.show"]({ client: "pc-001" }, options)
    expect([live, lastBoot]).toEqual([null, null])
    expect(client.settings).toContainEqual({ key: "menu-timeout", value: "10", source: "default" })
    expect(client.settings.map(({ key }) => key)).not.toContain("overlay-quota")
  })

  it("shows no more than the last changes, oldest first", async () => {
    const flips = Array.from({ length: 4 }, () => [linked(1, 0, to(1)), unlinked(1, 0, to(1))]).flat()
    const { lastChanges } = await siteOf(imageAdded(1), registered(1), ...flips)["client.show"](
      { client: pc(1) },
      options,
    )
    expect(lastChanges.map((l) => l.position)).toEqual([6, 7, 8, 9, 10])
  })

  it("that was not registered yet is not found", async () => {
    await expect(lab()["client.show"]({ client: "PC-002", position: 3 }, options)).rejects.toMatchObject({
      code: "CLIENT_NOT_FOUND",
    })
  })
})

describe("the log, filtered", () => {
  const positions = async (input: Input<"log">) => {
    const seen: Array<number> = []
    await lab().log(input, { ...options, onItem: (line) => void seen.push(JSON.parse(line).position) })
    return seen
  }

  it("by position, type, client and image, each and together", async () => {
    expect(await positions({})).toEqual([1, 2, 3, 4, 5, 6, 7])
    expect(await positions({ after: 6 })).toEqual([7])
    expect(await positions({ after: 7 })).toEqual([])
    expect(await positions({ after: 8 })).toEqual([])
    expect(await positions({ type: "clientlinked" })).toEqual([5, 6, 7])
    expect(await positions({ client: "PC-001" })).toEqual([3, 5, 7])
    expect(await positions({ client: "52-54-00-00-00-02" })).toEqual([4, 6])
    expect(await positions({ image: "linux" })).toEqual([2, 7])
    expect(await positions({ image: "win11", client: "PC-001", type: "ClientLinked", after: 5 })).toEqual([7])
    expect(await positions({ image: "linux", type: "ClientRegistered" })).toEqual([])
  })

  it("refuses a type, client or image that there is none of", async () => {
    await expect(positions({ type: "ClientLinkd" })).rejects.toMatchObject({ code: "USAGE" })
    await expect(positions({ client: "PC-009" })).rejects.toMatchObject({ code: "CLIENT_NOT_FOUND" })
    await expect(positions({ image: "win12" })).rejects.toMatchObject({ code: "IMAGE_NOT_FOUND" })
  })
})

describe("the log, followed", () => {
  it("gives what is there, then each new event that matches, until it is cancelled", async () => {
    const site = lab()
    const seen: Array<number> = []
    const stop = new AbortController()
    const onItem = (line: string) => {
      seen.push(JSON.parse(line).position)
      if (seen.length === 2) site.log_.push([registered(3), linked(2, 0, to(2, "linux"), to(1))])
      if (seen.length === 3) stop.abort()
    }
    const answer = await site.log({ client: "PC-002", follow: true }, { ...options, onItem, signal: stop.signal })
    expect(seen).toEqual([4, 6, 9])
    expect(answer.position).toBeLessThanOrEqual(9)
  })

  it("is not begun when it was cancelled before, and ends while it waits", async () => {
    const site = lab()
    const seen: Array<string> = []
    const onItem = (line: string) => void seen.push(line)
    await site.log({ follow: true }, { ...options, onItem, signal: AbortSignal.abort() })
    expect(seen).toEqual([])
    const stop = new AbortController()
    const waiting = site.log({ follow: true }, { ...options, onItem, signal: stop.signal })
    await new Promise((resolve) => setImmediate(resolve))
    stop.abort()
    await waiting
    expect(seen.length).toBeLessThanOrEqual(7)
  })

  it("waits for a reader that is behind", async () => {
    const site = lab()
    let open = () => {}
    let taken = 0
    const stop = new AbortController()
    const onItem = () => {
      taken++
      return new Promise<void>((resolve) => {
        open = resolve
      })
    }
    const following = site.log({ follow: true }, { ...options, onItem, signal: stop.signal })
    for (let i = 0; i < 50; i++) await new Promise((resolve) => setImmediate(resolve))
    expect(taken).toBe(1)
    stop.abort()
    open()
    await following
    expect(taken).toBe(1)
  })
})

describe("history", () => {
  it("ends at --until, inclusive", async () => {
    const site = lab()
    const positions: Array<number> = []
    await site.history({ since: 2000, until: 4000 }, { ...options, onItem: (l) => void positions.push(l.position) })
    expect(positions).toEqual([2, 3, 4])
  })
})

describe("a rebuild", () => {
  it("replaces every checkpoint by what a fold from zero gives", async () => {
    const site = lab()
    await site.rebuild({}, options)
    const whole = new Map(site.store.files)
    const names = ["catalogue", "link-table", "image-versions", "last-changes", "boot-history", "groups"]
    expect([...whole.keys()].sort()).toEqual([...names].sort())
    for (const name of whole.keys()) site.store.files.set(name, Buffer.from("damaged"))
    expect(await site.rebuild({}, options)).toEqual(names.map((name) => ({ name, position: 7 })))
    expect(site.store.files).toEqual(whole)
    expect((await site["rebuild.check"]({}, options)).every((p) => p.equal)).toBe(true)
  })
})
