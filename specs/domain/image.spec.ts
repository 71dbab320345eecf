import { describe, expect, it } from "vitest"
import type { Body } from "../../core/domain/commands.ts"
import { event } from "../../core/domain/decision.ts"
import {
  addImage,
  catalogueOf,
  checksums,
  clientRemoved,
  given,
  givenVersions,
  imageAdded,
  imageId,
  imageRef,
  imageRelocated,
  imageRemoved,
  link,
  linked,
  place,
  registered,
  relocate,
  removeImage,
  to,
  unlinked,
} from "../support/domain.ts"

describe("adding an image", () => {
  it("makes its version 1", () => {
    given()
      .when(addImage(1))
      .then([imageAdded(1)])
  })
  it("keeps the note", () => {
    const added = imageAdded(1)
    given()
      .when(addImage(1, "win11", { note: "fresh" }))
      .then([{ ...added, data: { ...added.data, note: "fresh" } } as typeof added])
  })
  it("again with the same files changes nothing, under the same id or another", () => {
    given(imageAdded(1)).when(addImage(1)).then([])
    given(imageAdded(1)).when(addImage(2)).then([])
  })
  it("with other files under its name is refused", () => {
    given(imageAdded(1))
      .when(addImage(2, "win11", { sizeBytes: "2097152" }))
      .refused("IMAGE_EXISTS")
    given(imageAdded(1))
      .when(addImage(2, "win11", { format: "qcow2" }))
      .refused("IMAGE_EXISTS")
    given(imageAdded(1))
      .when(addImage(2, "win11", { files: [] }))
      .refused("IMAGE_EXISTS")
    given(imageAdded(1))
      .when(addImage(2, "win11", { storage: { kind: "file", config: {} } }))
      .refused("IMAGE_EXISTS")
  })
  it.each(["", "Win11", "a b", "x".repeat(65), "525400aabbcc"])("under the name %j is refused", (name) => {
    given().when(addImage(1, name)).refused("IMAGE_NAME_INVALID")
  })
  it("under another image's id is refused", () => {
    given(imageAdded(1)).when(addImage(1, "debian")).refused("ID_TAKEN")
  })
})

describe("bad clusters that reads met", () => {
  const damage = (...clusters: ReadonlyArray<number>): Body<"RecordDamage"> => ({
    type: "RecordDamage",
    imageId: imageId(1),
    version: 1,
    clusters,
  })
  const many = (count: number) => Array.from({ length: count }, (_, i) => i)
  const checked = (clusters: ReadonlyArray<number>, count = clusters.length, total = 100, more = {}) => {
    const result = count === 0 ? ("verified" as const) : ("mismatch" as const)
    const sums = { ...checksums(), clusters: total }
    const found = { result, checksums: sums, mismatches: { count, clusters } }
    return event("ImageChecked", { image: imageRef(1), version: 1, ...found, ...more })
  }
  const recorded = (clusters: ReadonlyArray<number>, count = clusters.length, total = 100) =>
    checked(clusters, count, total, { partial: true })

  it("join those that are known, in order, each once", () => {
    given(imageAdded(1), checked([]))
      .when(damage(7, 3))
      .then([recorded([3, 7])])
    given(imageAdded(1), checked([5]))
      .when(damage(5, 3))
      .then([recorded([3, 5])])
    given(imageAdded(1), checked([5]))
      .when(damage(5))
      .then([])
    given(imageAdded(1), checked([5]), recorded([3, 5]))
      .when(damage(3, 5))
      .then([])
  })
  it("are recorded again once a check has found the version right", () => {
    given(imageAdded(1), recorded([5]), checked([]))
      .when(damage(5))
      .then([recorded([5])])
  })
  it("fill the list up to 64 and are counted beyond it; with a full list no more are recorded", () => {
    given(imageAdded(1), checked(many(63)))
      .when(damage(63))
      .then([recorded(many(64))])
    given(imageAdded(1), checked(many(63)))
      .when(damage(63, 64))
      .then([recorded(many(64), 65)])
    given(imageAdded(1), checked(many(64)))
      .when(damage(64))
      .then([])
    given(imageAdded(1), checked(many(64), 99))
      .when(damage(99))
      .then([])
  })
  it("of a version without checksums, or past its end, change nothing", () => {
    given(imageAdded(1)).when(damage(1)).then([])
    given(imageAdded(1), checked([], 0, 3))
      .when(damage(3))
      .then([])
    given(imageAdded(1), checked([], 0, 3))
      .when(damage(2))
      .then([recorded([2], 1, 3)])
  })
  it("of an image or version that is not there are refused", () => {
    given().when(damage(1)).refused("IMAGE_NOT_FOUND")
    given(imageAdded(1))
      .when({ ...damage(1), version: 2 })
      .refused("IMAGE_VERSION_NOT_FOUND")
  })
})

describe("recording a check", () => {
  const check = (more: Partial<Body<"RecordCheck">> = {}): Body<"RecordCheck"> => ({
    type: "RecordCheck",
    imageId: imageId(1),
    version: 1,
    result: "verified",
    checksums: checksums(),
    mismatches: { count: 0, clusters: [] },
    ...more,
  })
  const checked = (more = {}) => {
    const { type: _, imageId: __, ...data } = check(more)
    return event("ImageChecked", { image: imageRef(1), ...data })
  }
  const bad = { result: "mismatch", mismatches: { count: 1, clusters: [3] } } as const

  it("of a version records what was found", () => {
    given(imageAdded(1)).when(check()).then([checked()])
    given(imageAdded(1))
      .when(check(bad))
      .then([checked(bad)])
  })
  it("that finds the same again changes nothing", () => {
    given(imageAdded(1), checked()).when(check()).then([])
    given(imageAdded(1), checked(bad)).when(check(bad)).then([])
  })
  it("that is to be told again is recorded all the same", () => {
    given(imageAdded(1), checked())
      .when(check({ again: true }))
      .then([checked()])
  })
  it("that finds something else is recorded, and so is the way back", () => {
    given(imageAdded(1), checked())
      .when(check(bad))
      .then([checked(bad)])
    given(imageAdded(1), checked(), checked(bad)).when(check()).then([checked()])
    given(imageAdded(1), checked())
      .when(check({ checksums: checksums(1) }))
      .then([checked({ checksums: checksums(1) })])
  })
  it("that finds the same bytes in a file that is not quite the recorded one takes the file as it is now, once", () => {
    const files = [{ path: "/images/1.raw", sizeBytes: "1048576", identity: { inode: "77" } }]
    given(imageAdded(1), checked())
      .when(check({ files }))
      .then([checked({ files })])
    given(imageAdded(1), checked(), checked({ files })).when(check({ files })).then([])
  })
  it("of an image that is not there is refused", () => {
    given().when(check()).refused("IMAGE_NOT_FOUND")
  })
  it("of version 0 or one past the newest is refused, and of the newest is not", () => {
    given(imageAdded(1))
      .when(check({ version: 0 }))
      .refused("IMAGE_VERSION_NOT_FOUND")
    given(imageAdded(1))
      .when(check({ version: 2 }))
      .refused("IMAGE_VERSION_NOT_FOUND")
    givenVersions("win11", 2, imageAdded(1))
      .when(check({ version: 2 }))
      .then([checked({ version: 2 })])
  })
})

describe("removing an image", () => {
  const unused = [imageAdded(1), imageAdded(2, "debian"), registered(1)]
  it("records how many versions and which checksums went with it", () => {
    given(imageAdded(1))
      .when(removeImage("WIN11"))
      .then([imageRemoved(1)])
    const found = event("ImageChecked", {
      image: imageRef(1),
      version: 1,
      result: "verified",
      checksums: checksums(7),
      mismatches: { count: 0, clusters: [] },
    })
    given(imageAdded(1), found)
      .when(removeImage())
      .then([imageRemoved(1, "win11", ["7.crc"])])
  })
  it("that is linked is refused, and names who links it", () => {
    const links = [linked(1, 15, to(1)), linked(1, 2, to(1)), linked(1, 3, to(2, "debian"))]
    const refused = given(...unused, ...links)
      .when(removeImage())
      .refused("IMAGE_IN_USE")
    expect([refused.message, refused.reason, refused.details]).toEqual([
      "image win11 is in use by 2 links",
      "linked to it: PC-001 slot 2, PC-001 slot 15",
      ["PC-001 slot 2", "PC-001 slot 15"],
    ])
  })
  it("names the first three in words, in natural order, and all in the details", () => {
    const numbers = [10, 2, 1, 3]
    const clients = numbers.flatMap((n) => [registered(n, `PC-${n}`), linked(n, 0, to(1), null, `PC-${n}`)])
    const refused = given(imageAdded(1), ...clients)
      .when(removeImage())
      .refused("IMAGE_IN_USE")
    expect(refused.reason).toBe("linked to it: PC-1 slot 0, PC-2 slot 0, PC-3 slot 0 and 1 more")
    expect(refused.details).toEqual(["PC-1 slot 0", "PC-2 slot 0", "PC-3 slot 0", "PC-10 slot 0"])
  })
  it("is possible once the last link has gone, by unlinking, relinking or with its client", () => {
    const used = [...unused, linked(1, 0, to(1))]
    for (const end of [
      unlinked(1, 0, to(1)),
      linked(1, 0, to(2, "debian"), to(1)),
      clientRemoved(1, [{ slot: 0, link: to(1) }]),
    ])
      given(...used, end)
        .when(removeImage())
        .then([imageRemoved(1)])
  })
  it("frees its name, and never its id", () => {
    const gone = given(imageAdded(1), imageRemoved(1))
    gone.when(addImage(2)).then([imageAdded(2)])
    expect(gone.when(addImage(1, "other")).refused("ID_TAKEN").message).toContain("the removed image win11")
    gone.when(removeImage()).refused("IMAGE_NOT_FOUND")
    gone.when(link([], "win11")).refused("IMAGE_NOT_FOUND")
  })
})

describe("relocating an image", () => {
  const found = (result: "verified" | "mismatch") =>
    event("ImageChecked", {
      image: imageRef(1),
      version: 1,
      result,
      checksums: checksums(7),
      mismatches: result === "verified" ? { count: 0, clusters: [] } : { count: 1, clusters: [3] },
    })
  const moved = imageRelocated(1, "win11", "elsewhere")
  it("records where it was and is read from", () => {
    given(imageAdded(1), found("verified")).when(relocate(1, "elsewhere")).then([moved])
  })
  it("to where it is changes nothing", () => {
    given(imageAdded(1), found("verified")).when(relocate(1, "win11")).then([])
    given(imageAdded(1), found("verified"), moved).when(relocate(1, "elsewhere")).then([])
  })
  it("is refused while nothing was recorded that could prove it", () => {
    given(imageAdded(1)).when(relocate(1, "elsewhere")).refused("IMAGE_UNVERIFIED")
    given(imageAdded(1)).when(relocate(1, "win11")).refused("IMAGE_UNVERIFIED")
    given(imageAdded(1))
      .when(relocate(1, "elsewhere", 2))
      .refused("IMAGE_VERSION_NOT_FOUND")
    given().when(relocate(1, "elsewhere")).refused("IMAGE_NOT_FOUND")
  })
  it("makes a damaged one verified, because every byte of the new place was compared", () => {
    const version = catalogueOf([imageAdded(1), found("mismatch"), moved]).images.get(imageId(1))!.versions[0]!
    expect(version).toMatchObject({
      ...place("elsewhere"),
      check: { result: "verified", checksums: checksums(7), mismatches: { count: 0, clusters: [] } },
    })
  })
})
