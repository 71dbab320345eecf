import * as Effect from "effect/Effect"
import { describe, expect, it } from "vitest"
import { event } from "../../core/domain/decision.ts"
import type { DomainEvent } from "../../core/domain/events.ts"
import { ImagelinkError } from "../../core/errors.ts"
import {
  type HistoryFilter,
  historyFilter,
  matches,
  readHistory,
  describe as tell,
} from "../../core/projections/client-history.ts"
import {
  catalogueOf,
  checksums,
  clientChanged,
  clientId,
  clientRef,
  clientRemoved,
  id,
  imageAdded,
  imageId,
  imageRef,
  imageRelocated,
  imageRemoved,
  linked,
  mac,
  registered,
  reset,
  state,
  to,
  unlinked,
} from "../support/domain.ts"
import { makeMemoryLog } from "../support/memory-log.ts"

const story = [
  imageAdded(1),
  imageAdded(2, "debian"),
  registered(1, "PC-001", "10.0.0.1"),
  registered(2),
  linked(1, 0, to(1)),
  linked(1, 0, to(2, "debian", 1, "keep"), to(1)),
  linked(1, 0, to(2, "debian", null, "keep"), to(2, "debian", 1, "keep")),
  reset(1, 0, to(2, "debian", null, "keep")),
  unlinked(1, 0, to(2, "debian", null, "keep")),
  event("ImageChecked", {
    image: imageRef(1),
    version: 1,
    result: "mismatch",
    checksums: checksums(),
    mismatches: { count: 1, clusters: [1] },
  }),
  { type: "LabMoved", schemaVersion: 1, data: {} },
]
const clientRemovedAs = (n: number, name: string): DomainEvent =>
  event("ClientRemoved", { client: clientRef(n, name), address: null, links: [] })
const recorded = () => makeMemoryLog().push(story, { command: id(9, 1), at: 50 })
const positions = (filter: HistoryFilter) =>
  recorded()
    .filter((r) => matches(r, filter))
    .map((r) => r.position)

describe("history", () => {
  it("tells of every event what was done, from what, to what", () => {
    expect(
      recorded().map((r) => [tell(r).client, tell(r).slot, tell(r).image, tell(r).what, tell(r).from, tell(r).to]),
    ).toEqual([
      [null, null, "win11", "image added", null, "win11@1, raw"],
      [null, null, "debian", "image added", null, "debian@1, raw"],
      ["PC-001", null, null, "registered", null, `${mac(1)}, 10.0.0.1`],
      ["PC-002", null, null, "registered", null, `${mac(2)}, no address`],
      ["PC-001", 0, "win11", "linked", null, "win11@1, follows, discard"],
      ["PC-001", 0, "debian", "relinked", "win11@1, follows, discard", "debian@1, pinned, keep"],
      ["PC-001", 0, "debian", "link changed", "debian@1, pinned, keep", "debian@1, follows, keep"],
      ["PC-001", 0, "debian", "overlay reset", null, "debian@1, follows, keep"],
      ["PC-001", 0, "debian", "unlinked", "debian@1, follows, keep", null],
      [null, null, "win11", "image checked", null, "mismatch in 1 cluster"],
      [null, null, null, "LabMoved", null, null],
    ])
  })
  it("tells damage that reads met from what a check found", () => {
    const mismatches = { count: 2, clusters: [1, 2] }
    const found = { image: imageRef(1), version: 1, result: "mismatch", checksums: checksums(), mismatches } as const
    const [, line] = makeMemoryLog().push([imageAdded(1), event("ImageChecked", { ...found, partial: true })])
    expect([tell(line!).what, tell(line!).to]).toEqual(["image damage read", "mismatch in 2 clusters"])
  })
  it("tells what of a client changed, and with which address it went", () => {
    const log = makeMemoryLog().push([
      imageAdded(1),
      registered(1),
      linked(1, 0, to(1)),
      clientChanged(1, state(1), state(1, "PC-009", "10.0.0.9")),
      clientRemoved(1, [{ slot: 0, link: to(1) }], "10.0.0.9"),
    ])
    expect(log.slice(3).map((r) => [tell(r).client, tell(r).what, tell(r).from, tell(r).to])).toEqual([
      ["PC-001", "changed", "PC-001, no address", "PC-009, 10.0.0.9"],
      ["PC-001", "removed", `${mac(1)}, 10.0.0.9`, null],
    ])
    expect(log.filter((r) => matches(r, { imageId: imageId(1) })).map((r) => r.position)).toEqual([1, 3, 5])
    expect(log.filter((r) => matches(r, { clientId: clientId(1) })).map((r) => r.position)).toEqual([2, 3, 4, 5])
  })
  it("tells who, when and by which command", () => {
    expect(tell(recorded()[4]!)).toMatchObject({
      position: 5,
      at: 50,
      actor: { kind: "server", name: "other" },
      command: id(9, 1),
      event: "ClientLinked",
      mac: mac(1),
    })
  })
  it("of a client is its own events", () => {
    expect(positions({ clientId: clientId(1) })).toEqual([3, 5, 6, 7, 8, 9])
    expect(positions({ clientId: clientId(2) })).toEqual([4])
    expect(positions({ clientId: clientId(3) })).toEqual([])
  })
  it("of an image is also the links that left it", () => {
    expect(positions({ imageId: imageId(1) })).toEqual([1, 5, 6, 10])
    expect(positions({ imageId: imageId(2) })).toEqual([2, 6, 7, 8, 9])
  })
  it("of both is what concerns both, and of neither is all, unknown events too", () => {
    expect(positions({ clientId: clientId(1), imageId: imageId(1) })).toEqual([5, 6])
    expect(positions({})).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11])
  })
  it("since a time includes that time", () => {
    expect(positions({ since: 50 })).toHaveLength(11)
    expect(positions({ since: 51 })).toEqual([])
  })
})

describe("the filter", () => {
  const catalogue = catalogueOf([imageAdded(1), registered(1)])
  it("takes names as people give them", () => {
    expect(historyFilter(catalogue, { client: "525400000001", image: "WIN11", since: 1 })).toEqual({
      clientId: clientId(1),
      imageId: imageId(1),
      since: 1,
    })
    expect(historyFilter(catalogue, {})).toEqual({ clientId: undefined, imageId: undefined, since: undefined })
  })
  it("finds a client that was removed, the last of its name, unless one that is there has it", () => {
    const gone = [registered(1), clientRemoved(1), registered(2, "pc-001"), clientRemovedAs(2, "pc-001")]
    const asked = (client: string, ...more: ReadonlyArray<DomainEvent>) =>
      historyFilter(catalogueOf([...gone, ...more]), { client }) as HistoryFilter
    expect(asked("PC-001").clientId).toBe(clientId(2))
    expect(asked(mac(1)).clientId).toBe(clientId(1))
    expect(asked("PC-001", registered(3, "PC-001")).clientId).toBe(clientId(3))
    expect((asked("PC-002") as unknown as ImagelinkError).code).toBe("CLIENT_NOT_FOUND")
  })
  it("tells where an image was and is read from", () => {
    expect(
      makeMemoryLog()
        .push([imageRelocated(1, "win11", "elsewhere")])
        .map(tell),
    ).toMatchObject([
      { image: "win11", what: "image relocated", from: "/images/win11.raw", to: "/images/elsewhere.raw" },
    ])
  })
  it("finds an image that was removed", () => {
    const gone = catalogueOf([imageAdded(1), imageRemoved(1), registered(1, "debian")])
    expect(historyFilter(gone, { image: "WIN11" })).toMatchObject({ imageId: imageId(1) })
    expect((historyFilter(gone, { client: "win11" }) as ImagelinkError).code).toBe("CLIENT_NOT_FOUND")
    expect(
      makeMemoryLog()
        .push([imageRemoved(1)])
        .map(tell),
    ).toMatchObject([{ image: "win11", what: "image removed", from: "win11, 1 version", to: null }])
  })
  it("refuses what is not there", () => {
    expect((historyFilter(catalogue, { client: "PC-002" }) as ImagelinkError).code).toBe("CLIENT_NOT_FOUND")
    expect((historyFilter(catalogue, { image: "win12" }) as ImagelinkError).code).toBe("IMAGE_NOT_FOUND")
    expect(historyFilter(catalogue, { image: "win11" })).not.toBeInstanceOf(ImagelinkError)
  })
})

describe("reading the history", () => {
  const read = async (count: number, after: number) => {
    const log = makeMemoryLog()
    log.push(Array.from({ length: count }, (_, i) => registered(i + 1)))
    const seen: Array<number> = []
    const end = await Effect.runPromise(readHistory(log, {}, (line) => seen.push(line.position), after))
    return { end, seen }
  }
  it("goes over every page once, in order", async () => {
    for (const count of [0, 1, 999, 1000, 1001, 2500]) {
      const { end, seen } = await read(count, 0)
      expect([end, seen.length]).toEqual([count, count])
      expect(seen).toEqual(Array.from({ length: count }, (_, i) => i + 1))
    }
  })
  it("goes past an event it does not know", async () => {
    const log = makeMemoryLog()
    log.push(story)
    const seen: Array<string> = []
    await Effect.runPromise(readHistory(log, {}, (line) => seen.push(line.event)))
    expect([seen.length, seen[10]]).toEqual([11, "LabMoved"])
  })
  it("begins after a position", async () => {
    expect(await read(3, 2)).toEqual({ end: 3, seen: [3] })
    expect(await read(3, 3)).toEqual({ end: 3, seen: [] })
  })
})
