import { describe, expect, it } from "vitest"
import { event } from "../../core/domain/decision.ts"
import type { NewEvent } from "../../core/log/event-log.ts"
import { imageRows, imageVersions } from "../../core/projections/image-versions.ts"
import {
  checksums,
  clientRemoved,
  imageAdded,
  imageId,
  imageRef,
  imageRelocated,
  imageRemoved,
  linked,
  place,
  registered,
  reset,
  to,
  unlinked,
} from "../support/domain.ts"
import { makeMemoryLog } from "../support/memory-log.ts"

const rows = (...events: ReadonlyArray<NewEvent>) => {
  const state = imageVersions.initial()
  for (const recorded of makeMemoryLog().push(events, { at: 5 })) imageVersions.apply(state, recorded)
  return imageRows(state)
}
const verified = { result: "verified", checksums: checksums(), mismatches: { count: 0, clusters: [] } } as const
const mismatch = { result: "mismatch", checksums: checksums(), mismatches: { count: 2, clusters: [1, 2] } } as const
const checked = (found: typeof verified | typeof mismatch) =>
  event("ImageChecked", { image: imageRef(1), version: 1, ...found })

describe("the images", () => {
  it("are none without events", () => {
    expect(rows()).toEqual([])
  })
  it("begin unverified, with what they are read from", () => {
    expect(rows(imageAdded(1))).toEqual([
      {
        id: imageId(1),
        name: "win11",
        current: 1,
        draftBytes: null,
        superClient: null,
        tier: { kind: "file", hot: false },
        links: 0,
        versions: [
          {
            number: 1,
            parent: null,
            over: null,
            flattened: null,
            format: "raw",
            sizeBytes: "1048576",
            storage: { kind: "file", config: { path: "/images/win11.raw" } },
            files: [{ path: "/images/win11.raw", sizeBytes: "1048576", identity: { inode: "7", mtime: "1" } }],
            checked: "unverified",
            checkedAt: null,
            checksums: null,
            mismatches: null,
            note: null,
            at: 5,
            retired: false,
            layer: null,
          },
        ],
      },
    ])
  })
  it("are what the newest check found", () => {
    expect(rows(imageAdded(1), checked(verified))[0]?.versions).toMatchObject([
      { checked: "verified", checksums: checksums() },
    ])
    expect(rows(imageAdded(1), checked(verified), checked(mismatch))[0]?.versions).toMatchObject([
      { checked: "mismatch", mismatches: { count: 2, clusters: [1, 2] } },
    ])
    expect(rows(imageAdded(1), checked(mismatch), checked(verified))[0]?.versions).toMatchObject([
      { checked: "verified" },
    ])
  })
  it("were read whole when a check or a relocation read them, not when a client's read met damage", () => {
    const partial = event("ImageChecked", { image: imageRef(1), version: 1, ...mismatch, partial: true })
    const at = (...events: ReadonlyArray<NewEvent>) => {
      const state = imageVersions.initial()
      const log = makeMemoryLog()
      for (const [i, one] of events.entries())
        for (const recorded of log.push([one], { at: 10 + i })) imageVersions.apply(state, recorded)
      const { checked, checkedAt } = imageRows(state)[0]!.versions[0]!
      return [checked, checkedAt]
    }
    expect(at(imageAdded(1))).toEqual(["unverified", null])
    expect(at(imageAdded(1), checked(verified), partial)).toEqual(["mismatch", 11])
    expect(at(imageAdded(1), checked(verified), partial, checked(mismatch))).toEqual(["mismatch", 13])
    expect(at(imageAdded(1), checked(verified), imageRelocated(1, "win11", "b"))).toEqual(["verified", 12])
  })
  it("are read from where they were relocated to, and verified there", () => {
    for (const found of [verified, mismatch]) {
      const [row] = rows(imageAdded(1), checked(found), imageRelocated(1, "win11", "elsewhere"))
      expect(row?.versions).toMatchObject([
        { ...place("elsewhere"), checked: "verified", checksums: checksums(), mismatches: { count: 0, clusters: [] } },
      ])
    }
  })
  it("go when they are removed, and a new one may have the name", () => {
    expect(rows(imageAdded(1), imageRemoved(1))).toEqual([])
    expect(rows(imageAdded(1), imageRemoved(1), imageAdded(2))).toMatchObject([{ id: imageId(2), name: "win11" }])
  })
  it("count the links that use them", () => {
    const base = [imageAdded(1), imageAdded(2, "debian"), registered(1), registered(2)]
    const links = (...events: ReadonlyArray<NewEvent>) =>
      rows(...base, ...events).map((row) => `${row.name} ${row.links}`)
    const both = [linked(1, 0, to(1)), linked(2, 0, to(1)), linked(1, 1, to(1))]
    expect(links(...both)).toEqual(["debian 0", "win11 3"])
    expect(links(...both, linked(1, 0, to(2, "debian"), to(1)))).toEqual(["debian 1", "win11 2"])
    expect(links(...both, linked(1, 0, to(1, "win11", 1), to(1)))).toEqual(["debian 0", "win11 3"])
    const ends = [0, 1].map((slot) => ({ slot, link: to(1) }))
    expect(links(...both, clientRemoved(1, ends))).toEqual(["debian 0", "win11 1"])
    expect(links(...both, reset(1, 0, to(1)), unlinked(2, 0, to(1)))).toEqual(["debian 0", "win11 2"])
  })
  it("are in natural order of names", () => {
    expect(rows(imageAdded(1, "win11"), imageAdded(2, "win7"), imageAdded(3, "debian")).map((row) => row.name)).toEqual(
      ["debian", "win7", "win11"],
    )
  })
})
