import { describe, expect, it } from "vitest"
import {
  given,
  givenVersions,
  imageAdded,
  link,
  linked,
  mac,
  registered,
  reset,
  resetOverlays,
  to,
  unlink,
  unlinked,
} from "../support/domain.ts"

const win = imageAdded(1)
const deb = imageAdded(2, "debian")
const kept = linked(1, 0, to(1, "win11", null, "keep"))
const discarded = linked(1, 0, to(1))

describe("linking", () => {
  it("follows the current version, and discards writes, unless told otherwise", () => {
    given(win, registered(1))
      .when(link(["PC-001"], "win11"))
      .then([discarded])
    given(win, registered(1))
      .when(link(["PC-001"], "win11@1", { slot: 15, overlay: "keep" }))
      .then([linked(1, 15, to(1, "win11", 1, "keep"))])
  })
  it("finds clients by name in any case, MAC in any spelling, and range, each once", () => {
    given(win, registered(1), registered(2), registered(3))
      .when(link(["pc-002", "525400000002", "PC-{001..003}"], "WIN11"))
      .then([linked(2, 0, to(1)), linked(1, 0, to(1)), linked(3, 0, to(1))])
  })
  it("of nobody changes nothing", () => {
    given(win).when(link([], "win11")).then([])
  })
  it("to what it is linked to changes nothing", () => {
    given(win, registered(1), discarded)
      .when(link(["PC-001"], "win11"))
      .then([])
    given(win, registered(1), discarded)
      .when(link(["PC-001"], "win11", { overlay: "discard" }))
      .then([])
    given(win, registered(1), kept)
      .when(link(["PC-001"], "win11"))
      .then([])
    given(win, registered(1), kept)
      .when(link(["PC-001"], "win11", { discardKept: true }))
      .then([])
  })
  it("elsewhere says what was there before, and keeps the policy", () => {
    given(win, deb, registered(1), discarded)
      .when(link(["PC-001"], "debian"))
      .then([linked(1, 0, to(2, "debian"), to(1))])
  })
  it("of one slot leaves the others alone", () => {
    given(win, deb, registered(1), discarded)
      .when(link(["PC-001"], "debian", { slot: 1 }))
      .then([linked(1, 1, to(2, "debian"))])
  })
  it("of several clients skips those that are there already", () => {
    given(win, registered(1), registered(2), discarded)
      .when(link(["PC-{001..002}"], "win11"))
      .then([linked(2, 0, to(1))])
  })
})

describe("a kept overlay", () => {
  const keep = to(1, "win11", null, "keep")
  it("is not linked away from its image or version", () => {
    const refused = given(win, deb, registered(1), kept)
      .when(link(["PC-001"], "debian"))
      .refused("OVERLAY_KEPT")
    expect(refused.message).toBe("PC-001 slot 0 keeps its writes over win11@1")
    given(win, deb, registered(1), kept)
      .when(link(["PC-001"], "debian", { overlay: "discard" }))
      .refused("OVERLAY_KEPT")
    givenVersions("win11", 2, win, registered(1), kept)
      .when(link(["PC-001"], "win11@2"))
      .refused("OVERLAY_KEPT")
  })
  it("is let go of with discardKept, and the new link keeps its writes again", () => {
    given(win, deb, registered(1), kept)
      .when(link(["PC-001"], "debian", { discardKept: true }))
      .then([linked(1, 0, to(2, "debian", null, "keep"), keep)])
  })
  it("holds up everyone else in the command, and each that holds it up is named", () => {
    const others = [registered(2), linked(2, 0, to(1, "win11", null, "keep"), null), registered(3)]
    const refused = given(win, deb, registered(1), kept, ...others)
      .when(link(["PC-{001..003}"], "debian"))
      .refused("OVERLAY_KEPT")
    expect(refused.details).toEqual([
      "PC-001 slot 0 keeps its writes over win11@1",
      "PC-002 slot 0 keeps its writes over win11@1",
    ])
  })
  it("is not let go of by a change of policy alone", () => {
    given(win, registered(1), kept)
      .when(link(["PC-001"], "win11", { overlay: "discard" }))
      .refused("OVERLAY_KEPT")
    given(win, registered(1), kept)
      .when(link(["PC-001"], "win11", { overlay: "discard", discardKept: true }))
      .then([linked(1, 0, to(1), keep)])
  })
  it("is not let go of by unlinking, unless that says so", () => {
    given(win, registered(1), kept)
      .when(unlink(["PC-001"]))
      .refused("OVERLAY_KEPT")
    given(win, registered(1), kept)
      .when({ type: "UnlinkClients", clients: ["PC-001"], slot: 0, discardKept: true })
      .then([unlinked(1, 0, keep)])
  })
  it("stays where only the pin changes", () => {
    given(win, registered(1), kept)
      .when(link(["PC-001"], "win11@1"))
      .then([linked(1, 0, to(1, "win11", 1, "keep"), keep)])
  })
  it("stays on its version when the image moves on, and so does the link that follows", () => {
    givenVersions("win11", 2, win, registered(1), kept)
      .when(link(["PC-001"], "win11"))
      .then([])
    givenVersions("win11", 2, win, registered(1), kept)
      .when(link(["PC-001"], "win11@1"))
      .then([linked(1, 0, to(1, "win11", 1, "keep"), keep)])
  })
  it("begins on the current version when it is reset", () => {
    givenVersions("win11", 2, win, registered(1), kept)
      .when(resetOverlays(["PC-001"]))
      .then([reset(1, 0, { ...keep, version: 2 })])
  })
  it("that is pinned is reset on its pin", () => {
    const pinned = to(1, "win11", 1, "keep")
    givenVersions("win11", 2, win, registered(1), linked(1, 0, pinned))
      .when(resetOverlays(["PC-001"]))
      .then([reset(1, 0, pinned)])
  })
})

describe("a link that follows and discards", () => {
  it("stands for the current version", () => {
    givenVersions("win11", 2, win, registered(1), discarded)
      .when(unlink(["PC-001"]))
      .then([unlinked(1, 0, { ...to(1), version: 2 })])
  })
})

describe("unlinking and resetting", () => {
  it("unlinking says what was there", () => {
    given(win, registered(1), discarded)
      .when(unlink(["PC-001"]))
      .then([unlinked(1, 0, to(1))])
  })
  it("unlinking what is not linked changes nothing", () => {
    given(registered(1))
      .when(unlink(["PC-001"]))
      .then([])
    given(win, registered(1), discarded)
      .when(unlink(["PC-001"], 1))
      .then([])
    given(win, registered(1), discarded, unlinked(1, 0, to(1)))
      .when(unlink(["PC-001"]))
      .then([])
  })
  it("linking after unlinking begins anew", () => {
    given(win, registered(1), kept, unlinked(1, 0, to(1, "win11", null, "keep")))
      .when(link(["PC-001"], "win11"))
      .then([discarded])
  })
  it("resetting twice resets twice", () => {
    given(win, registered(1), discarded)
      .when(resetOverlays(["PC-001"]))
      .then([reset(1, 0, to(1))])
    given(win, registered(1), discarded, reset(1, 0, to(1)))
      .when(resetOverlays(["PC-001"]))
      .then([reset(1, 0, to(1))])
  })
  it("resetting a slot without a link is refused for all", () => {
    const refused = given(win, registered(1), discarded, registered(2))
      .when(resetOverlays(["PC-001", "PC-002"]))
      .refused("LINK_NOT_FOUND")
    expect(refused.message).toBe("PC-002 has no link in slot 0")
  })
  it("of nobody changes nothing", () => {
    given().when(unlink([])).then([])
    given().when(resetOverlays([])).then([])
  })
})

describe("what is not there", () => {
  it.each([-1, 16, 0.5])("slot %d is refused by every command about links", (slot) => {
    for (const command of [
      link(["PC-001"], "win11", { slot }),
      unlink(["PC-001"], slot),
      resetOverlays(["PC-001"], slot),
    ]) {
      given(win, registered(1)).when(command).refused("SLOT_INVALID")
    }
  })
  it("an image is named with the nearest", () => {
    const refused = given(win, deb, registered(1))
      .when(link(["PC-001"], "win12@1"))
      .refused("IMAGE_NOT_FOUND")
    expect([refused.message, refused.reason]).toEqual([
      "there is no image win12",
      "no image has this name; the nearest is win11",
    ])
    expect(given(win).when(link([], "win11@x")).refused("IMAGE_NOT_FOUND").reason).toContain("the nearest is win11")
    expect(given().when(link([], "win11")).refused("IMAGE_NOT_FOUND").reason).toBe("no image has this name")
  })
  it("a version 0 or one past the newest is refused", () => {
    given(win, registered(1))
      .when(link(["PC-001"], "win11@0"))
      .refused("IMAGE_VERSION_NOT_FOUND")
    const refused = given(win, registered(1))
      .when(link(["PC-001"], "win11@2"))
      .refused("IMAGE_VERSION_NOT_FOUND")
    expect(refused.reason).toBe("its newest version is 1")
  })
  it("a client is named with the nearest name or MAC", () => {
    const near = (key: string) =>
      given(win, registered(1))
        .when(link([key], "win11"))
        .refused("CLIENT_NOT_FOUND").reason
    expect(near("PC-01")).toBe("no client has this name or MAC; the nearest is PC-001")
    expect(near("52-54-00-00-00-02")).toBe(`no client has this name or MAC; the nearest is ${mac(1)}`)
    expect(near("teacher")).toBe("no client has this name or MAC")
  })
  it("several missing clients are all named", () => {
    const refused = given(win, registered(2))
      .when(link(["PC-{001..003}"], "win11"))
      .refused("CLIENT_NOT_FOUND")
    expect(refused.details).toEqual(["there is no client PC-001", "there is no client PC-003"])
  })
  it("a range that cannot be read or names too many is refused", () => {
    given(win)
      .when(link(["PC-{1..}"], "win11"))
      .refused("COMMAND_INVALID")
    given(win)
      .when(link(["PC-{1..10001}"], "win11"))
      .refused("COMMAND_INVALID")
    given(win)
      .when(link(["A{1..5000}", "B{1..5001}"], "win11"))
      .refused("COMMAND_INVALID")
    given(win)
      .when(link(["A{1..5000}", "B{1..5000}"], "win11"))
      .refused("CLIENT_NOT_FOUND")
  })
})
