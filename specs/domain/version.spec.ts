import { describe, it } from "vitest"
import { event } from "../../core/domain/decision.ts"
import type { DomainEvent } from "../../core/domain/events.ts"
import {
  checksums,
  given,
  imageAdded,
  imageRef,
  link,
  linked,
  pc,
  registered,
  removeClients,
  removeImage,
  reset,
  resetOverlays,
  to,
  unlink,
} from "../support/domain.ts"
import {
  boot,
  clearSuper,
  commit,
  committed,
  created,
  createImage,
  flatten,
  flattened,
  nextBoot,
  retired,
  rolledBack,
  sealed,
  sealImage,
  setSuper,
  superCleared,
  superSet,
} from "../support/versions.ts"

/** Positions: 1 win11, 2 and 3 the clients, 4 and 5 their links. */
const lab = [imageAdded(1), registered(1), registered(2), linked(1, 0, to(1)), linked(2, 0, to(1))]
/** Position 6: PC-001 is super on version 1. */
const withSuper = [...lab, superSet(1, 1)]
/** Position 7: version 2. */
const withTwo = [...withSuper, committed(1, 1, 2, 6)]

describe("a super client", () => {
  it("is set on the version that its link stands for", () => {
    given(...lab)
      .when(setSuper("PC-001"))
      .then([superSet(1, 1)])
    given(...withTwo)
      .when(setSuper("PC-002"))
      .then([superSet(2, 1, 2)])
    given(...withTwo, linked(2, 0, to(1, "win11", 1), to(1)))
      .when(setSuper("PC-002"))
      .then([superSet(2, 1, 1)])
  })
  it("set again changes nothing", () => {
    given(...withSuper)
      .when(setSuper("pc-001"))
      .then([])
  })
  it("is one: another is refused with the holder's name", () => {
    const error = given(...withSuper)
      .when(setSuper("PC-002"))
      .refused("SUPER_CLIENT_TAKEN")
    if (!error.message.includes("PC-001 slot 0")) throw new Error(error.message)
  })
  it("needs a link to the image, and one that is clear", () => {
    given(imageAdded(1), registered(1)).when(setSuper("PC-001")).refused("SUPER_CLIENT_UNLINKED")
    const twice = [...lab, linked(1, 1, to(1))]
    given(...twice)
      .when(setSuper("PC-001"))
      .refused("SUPER_CLIENT_UNLINKED")
    given(...twice)
      .when(setSuper("PC-001", "win11", { slot: 1 }))
      .then([superSet(1, 1, 1, null, 1)])
    given(...twice)
      .when(setSuper("PC-001", "win11", { slot: 2 }))
      .refused("SUPER_CLIENT_UNLINKED")
  })
  it("takes a kept overlay's place only when that may go", () => {
    const keeping = [imageAdded(1), registered(1), linked(1, 0, to(1, "win11", null, "keep"))]
    given(...keeping)
      .when(setSuper("PC-001"))
      .refused("OVERLAY_KEPT")
    given(...keeping)
      .when(setSuper("PC-001", "win11", { discardKept: true }))
      .then([superSet(1, 1)])
  })
  it("keeps its slot: it is not relinked, unlinked, reset or removed", () => {
    const world = given(imageAdded(2, "debian"), ...withSuper)
    world.when(link(["PC-001"], "debian")).refused("SUPER_CLIENT_ACTIVE")
    world.when(link(["PC-001"], "win11@1")).refused("SUPER_CLIENT_ACTIVE")
    world.when(link(["PC-001"], "win11")).then([])
    world.when(unlink(["PC-001"])).refused("SUPER_CLIENT_ACTIVE")
    world.when(resetOverlays(["PC-001"])).refused("SUPER_CLIENT_ACTIVE")
    world.when(resetOverlays(["PC-001"], 0, true)).then([reset(1, 0, to(1))])
    world.when(removeClients(["PC-001"], { discardKept: true })).refused("SUPER_CLIENT_ACTIVE")
  })
  it("is cleared, and what it wrote is thrown away or kept aside", () => {
    given(...withSuper)
      .when(clearSuper("PC-001"))
      .then([superCleared(1, 1, 6)])
    given(...withSuper)
      .when(clearSuper("PC-001", { keep: true }))
      .then([superCleared(1, 1, 6, true)])
    given(...withSuper)
      .when(clearSuper("PC-002"))
      .refused("SUPER_CLIENT_NOT")
    given(...lab)
      .when(clearSuper("PC-001"))
      .refused("SUPER_CLIENT_NOT")
  })
  it("resumes the newest overlay that was kept aside, on its version", () => {
    const aside = [...withSuper, superCleared(1, 1, 6, true)]
    given(...aside)
      .when(setSuper("PC-001", "win11", { resume: true }))
      .then([superSet(1, 1, 1, 6)])
    given(...aside)
      .when(setSuper("PC-001"))
      .then([superSet(1, 1)])
    given(...aside)
      .when(setSuper("PC-002", "win11", { resume: true }))
      .refused("SUPER_OVERLAY_NOT_FOUND")
    given(...aside, superSet(1, 1, 1, 6), committed(1, 1, 2, 6))
      .when(setSuper("PC-001", "win11", { resume: true }))
      .refused("SUPER_OVERLAY_NOT_FOUND")
  })
  it("leaves with its aside overlay only when that may go", () => {
    const aside = [...withSuper, superCleared(1, 1, 6, true)]
    given(...aside)
      .when(removeClients(["PC-001"]))
      .refused("OVERLAY_KEPT")
  })
})

describe("a commit", () => {
  it("makes the next version of what the super client wrote, and it current", () => {
    given(...withSuper)
      .when(commit(1, 2, 6))
      .then([committed(1, 1, 2, 6)])
  })
  it("without a super client is refused, so also the second time", () => {
    given(...lab)
      .when(commit(1, 2, 6))
      .refused("NO_SUPER_CLIENT")
    given(...withTwo)
      .when(commit(1, 2, 6))
      .refused("NO_SUPER_CLIENT")
  })
  it("of another overlay, or under another number, is refused", () => {
    given(...withSuper)
      .when(commit(1, 2, 5))
      .refused("COMMIT_STALE")
    given(...withSuper)
      .when(commit(1, 3, 6))
      .refused("COMMIT_STALE")
    given(...withSuper)
      .when(commit(1, 1, 6))
      .refused("COMMIT_STALE")
  })
  it("after a rollback grows another branch of the tree", () => {
    given(...withTwo, rolledBack(1, 2, 1), superSet(1, 1))
      .when(commit(1, 3, 9))
      .then([committed(1, 1, 3, 9, { parent: 1, from: 1 })])
  })
})

describe("a rollback", () => {
  it("goes to the parent, or where it is told", () => {
    given(...withTwo)
      .when({ type: "RollBackImage", name: "win11" })
      .then([rolledBack(1, 2, 1)])
    given(...withTwo, rolledBack(1, 2, 1))
      .when({ type: "RollBackImage", name: "WIN11", to: 2 })
      .then([rolledBack(1, 1, 2)])
  })
  it("to what is current changes nothing", () => {
    given(...withTwo)
      .when({ type: "RollBackImage", name: "win11", to: 2 })
      .then([])
  })
  it("to nothing is refused", () => {
    given(...lab)
      .when({ type: "RollBackImage", name: "win11" })
      .refused("IMAGE_NOTHING_BEFORE")
    given(...withTwo)
      .when({ type: "RollBackImage", name: "win11", to: 3 })
      .refused("IMAGE_VERSION_NOT_FOUND")
    given(...withTwo)
      .when({ type: "RollBackImage", name: "win11", to: 0 })
      .refused("IMAGE_VERSION_NOT_FOUND")
  })
})

describe("retiring a version", () => {
  const retire = (version: number) => ({ type: "RetireVersion", name: "win11", version }) as const
  const back = [...withTwo, rolledBack(1, 2, 1)]
  it("that nobody needs is done once, and it is never linked again", () => {
    given(...back)
      .when(retire(2))
      .then([retired(1, 2)])
    const gone = given(...back, retired(1, 2))
    gone.when(retire(2)).then([])
    gone.when(link(["PC-002"], "win11@2")).refused("IMAGE_VERSION_RETIRED")
    gone.when({ type: "RollBackImage", name: "win11", to: 2 }).refused("IMAGE_VERSION_RETIRED")
  })
  it("names its checksum file", () => {
    const check = { result: "verified", checksums: checksums(), mismatches: { count: 0, clusters: [] } } as const
    const checked = event("ImageChecked", { image: imageRef(1), version: 2, ...check })
    const removed = event("ImageVersionRetired", { image: imageRef(1), version: 2, sidecar: "0.crc" })
    given(...back, checked)
      .when(retire(2))
      .then([removed])
  })
  it("that is current, linked, pinned, a parent, or under a super client is refused, and says by whom it is needed", () => {
    const details = (events: ReadonlyArray<DomainEvent>, version: number) =>
      given(...events)
        .when(retire(version))
        .refused("VERSION_IN_USE").details
    const cases: ReadonlyArray<readonly [ReadonlyArray<DomainEvent>, number, ReadonlyArray<string>]> = [
      [withTwo, 2, ["it is the current version", "PC-001 slot 0", "PC-002 slot 0"]],
      [withTwo, 1, ["version 2, which is made on it"]],
      [[...back, linked(2, 0, to(1, "win11", 2), to(1))], 2, ["PC-002 slot 0"]],
      [[...withTwo, superSet(1, 1, 2), rolledBack(1, 2, 1)], 2, ["PC-001 slot 0 (super client)"]],
      [
        [...withTwo, superSet(1, 1, 2), superCleared(1, 1, 8, true, 2), rolledBack(1, 2, 1)],
        2,
        ["PC-001 slot 0, whose super overlay is kept aside"],
      ],
    ]
    for (const [events, version, expected] of cases) {
      const found = details(events, version)
      if (JSON.stringify(found) !== JSON.stringify(expected)) throw new Error(JSON.stringify(found))
    }
  })
})

describe("flattening", () => {
  const chain = [
    ...[...withTwo, superSet(1, 1, 2), committed(1, 1, 3, 8), superSet(1, 1, 3), committed(1, 1, 4, 10)],
    rolledBack(1, 4, 3),
  ]
  it("merges what lies between a version and one below it, once", () => {
    given(...chain)
      .when(flatten(1, 3, 1))
      .then([flattened(1, 3, 1)])
    given(...chain)
      .when(flatten(1, 3, null))
      .then([flattened(1, 3, null)])
    given(...chain, flattened(1, 3, 1))
      .when(flatten(1, 3, 1))
      .then([])
  })
  it("of what is not there, has nothing between, or is read from elsewhere meanwhile is refused", () => {
    const asked = given(...chain, flattened(1, 4, 2))
    asked.when(flatten(1, 2, 1)).refused("FLATTEN_NOTHING")
    asked.when(flatten(1, 3, 3)).refused("FLATTEN_NOTHING")
    asked.when(flatten(1, 3, 4)).refused("FLATTEN_NOTHING")
    asked.when(flatten(1, 4, 1)).refused("FLATTEN_STALE")
    asked.when(flatten(1, 5, 1)).refused("IMAGE_VERSION_NOT_FOUND")
    asked.when(flatten(9, 3, 1)).refused("IMAGE_NOT_FOUND")
    given(...chain, retired(1, 4))
      .when(flatten(1, 4, 1))
      .refused("IMAGE_VERSION_RETIRED")
  })
  it("of one whose layers below were merged goes to the bottom, and not to what was merged", () => {
    const asked = given(...chain, flattened(1, 3, 1))
    asked.when(flatten(1, 4, 2)).refused("FLATTEN_NOTHING")
    asked.when(flatten(1, 4, 1)).then([flattened(1, 4, 1)])
  })
  it("frees the versions that were merged, though the version was made on them", () => {
    const retire = (version: number) => ({ type: "RetireVersion", name: "win11", version }) as const
    const merged = given(...chain, flattened(1, 3, 1))
    merged.when(retire(2)).then([retired(1, 2)])
    merged.when(retire(1)).refused("VERSION_IN_USE")
    given(...chain, flattened(1, 3, 1), retired(1, 2))
      .when({ type: "RollBackImage", name: "win11" })
      .refused("IMAGE_VERSION_RETIRED")
  })
})

describe("a created image", () => {
  it("has no version until it is sealed", () => {
    given()
      .when(createImage(1))
      .then([created(1)])
    const draft = given(created(1), registered(1))
    draft.when(link(["PC-001"], "win11")).refused("IMAGE_NOT_SEALED")
    draft.when(link(["PC-001"], "win11@1")).refused("IMAGE_NOT_SEALED")
    draft.when(setSuper("PC-001")).refused("IMAGE_NOT_SEALED")
    draft.when({ type: "RollBackImage", name: "win11" }).refused("IMAGE_NOT_SEALED")
    draft.when(sealImage(1)).then([sealed(1)])
    given(created(1), sealed(1), registered(1))
      .when(link(["PC-001"], "win11"))
      .then([linked(1, 0, to(1))])
    given(created(1), sealed(1)).when(sealImage(1)).then([])
  })
  it("of no size, an odd one or too large a one is refused", () => {
    given()
      .when(createImage(1, "win11", "0"))
      .refused("IMAGE_SIZE_ODD")
    given()
      .when(createImage(1, "win11", "513"))
      .refused("IMAGE_SIZE_ODD")
    given()
      .when(createImage(1, "win11", "70368744178176512"))
      .refused("IMAGE_TOO_LARGE")
  })
  it("under a name or an id that is another's is refused", () => {
    given(created(1)).when(createImage(2)).refused("IMAGE_EXISTS")
    given(created(1)).when(createImage(1, "games")).refused("ID_TAKEN")
  })
  it("goes as any image goes", () => {
    given(created(1))
      .when(removeImage())
      .then([event("ImageRemoved", { image: imageRef(1), versions: 0, sidecars: [] })])
  })
})

describe("the next boot", () => {
  const local = { kind: "local" } as const
  const once = { kind: "image", image: imageRef(1), pinned: 1 } as const
  it("is set for each client once, and taken back", () => {
    given(...lab)
      .when({ type: "SetNextBoot", clients: [pc(1), pc(2)], to: local })
      .then([nextBoot(1, null, local), nextBoot(2, null, local)])
    given(...lab, nextBoot(1, null, local))
      .when({ type: "SetNextBoot", clients: [pc(1), pc(2)], to: { kind: "image", image: "win11@1" } })
      .then([nextBoot(1, local, once), nextBoot(2, null, once)])
    given(...lab, nextBoot(1, null, local))
      .when({ type: "SetNextBoot", clients: [pc(1)], to: null })
      .then([nextBoot(1, local, null)])
    given(...lab)
      .when({ type: "SetNextBoot", clients: [pc(1)], to: null })
      .then([])
    given(...lab)
      .when({ type: "SetNextBoot", clients: [pc(1)], to: { kind: "image", image: "win11@2" } })
      .refused("IMAGE_VERSION_NOT_FOUND")
  })
  it("is over with the boot that used it, and with no other", () => {
    const used = event("ClientBooted", boot(1, { nextBoot: true }))
    const other = event("ClientBooted", boot(1))
    const again = { type: "SetNextBoot", clients: [pc(1)], to: local } as const
    given(...lab, nextBoot(1, null, local), used)
      .when(again)
      .then([nextBoot(1, null, local)])
    given(...lab, nextBoot(1, null, local), other)
      .when(again)
      .then([])
  })
})

describe("boots", () => {
  it("are recorded several at once, also of a client that is gone", () => {
    given()
      .when({ type: "RecordBoots", boots: [boot(1), boot(2)] })
      .then([event("ClientBooted", boot(1)), event("ClientBooted", boot(2))])
  })
})

describe("an image", () => {
  it("is placed once in a tier", () => {
    const file = { kind: "file", hot: false }
    const ram = { kind: "ramdisk", hot: true }
    const placed = event("ImagePlaced", { image: imageRef(1), from: file, to: ram })
    given(imageAdded(1)).when({ type: "PlaceImage", name: "win11", tier: "ramdisk", hot: true }).then([placed])
    given(imageAdded(1), placed).when({ type: "PlaceImage", name: "win11", tier: "ramdisk", hot: true }).then([])
    given(imageAdded(1)).when({ type: "PlaceImage", name: "win11", tier: "file" }).then([])
    const half = { ...ram, share: 50 }
    const halved = event("ImagePlaced", { image: imageRef(1), from: ram, to: half })
    const command = { type: "PlaceImage", name: "win11", tier: "ramdisk", hot: true } as const
    given(imageAdded(1), placed)
      .when({ ...command, share: 50 })
      .then([halved])
    given(imageAdded(1), placed, halved)
      .when({ ...command, share: 50 })
      .then([])
    for (const share of [0, 101])
      given(imageAdded(1))
        .when({ ...command, share })
        .refused("COMMAND_INVALID")
    given(imageAdded(1)).when({ type: "PlaceImage", name: "win11", tier: "file", share: 50 }).then([])
  })
})
