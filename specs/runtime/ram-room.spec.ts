/** Images in RAM leave the host what it needs, whatever the budget says. */
import { join } from "node:path"
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest"
import { limits } from "../../core/limits.ts"
import { makeRamRoom } from "../../core/runtime/ram-room.ts"
import { scratch } from "../support/cli.ts"
import { rawImage } from "../support/images.ts"
import { type ServingSite, serveHere } from "../support/serving.ts"

const MiB = 2 ** 20
const KEPT = limits.ramHostKeptBytes
const LOOK = limits.ramLookClusters * limits.clusterBytes

describe("the room for images", () => {
  const room = (chunks: number, allocated: number, available: number | undefined) =>
    makeRamRoom({ chunks, allocatedBytes: allocated }, () => available)

  it("is the budget where the host has more, and where nobody knows what it has", () => {
    expect(room(4, 0, KEPT + 4 * MiB).all()).toEqual({ bytes: 4 * MiB, bound: "budget" })
    expect(room(4, 0, undefined).all()).toEqual({ bytes: 4 * MiB, bound: "budget" })
    expect([room(4, 0, KEPT + MiB).isShort(), room(4, 0, undefined).isShort()]).toEqual([false, false])
  })

  it("is what the host can spare, and what images have of it already", () => {
    expect(room(4, 0, KEPT + 4 * MiB - 1).all()).toEqual({ bytes: 4 * MiB - 1, bound: "memory" })
    expect(room(8, 3 * MiB, KEPT + 2 * MiB).all()).toEqual({ bytes: 5 * MiB, bound: "memory" })
    expect(room(8, 3 * MiB, 0).all()).toEqual({ bytes: 3 * MiB, bound: "memory" })
    expect(room(4, 0, KEPT + MiB - 1).isShort()).toBe(true)
  })
})

describe("an image", () => {
  const folder = scratch("ram-room")
  let available: number
  let looks = 0
  let goneAfter = Number.POSITIVE_INFINITY
  let here: ServingSite
  beforeAll(async () => {
    const host = { memoryAvailableBytes: () => (++looks > goneAfter ? 0 : available) }
    here = await serveHere(join(folder, "data"), undefined, 256 * MiB, 16 * MiB, undefined, host)
    for (const [name, bytes] of [
      ["small", 2 * MiB],
      ["large", LOOK + 2 * MiB],
    ] as const) {
      const { path } = rawImage(folder, `${name}.raw`, bytes)
      await here.do("image.add", { name, path, check: true })
    }
  })
  beforeEach(() => {
    available = KEPT + 64 * MiB
  })
  afterAll(() => here.close())
  const place = (name: string, tier: "ramdisk" | "file" = "ramdisk") => here.do("image.place", { name, tier })

  it("for which the host has no memory is refused with numbers, and nothing is recorded", async () => {
    const head = here.parts.log.head()
    available = KEPT + MiB
    await expect(place("small")).rejects.toMatchObject({
      code: "RAM_TIER_FULL",
      reason: `it needs ${2 * MiB} bytes, and ${MiB} can be taken without making the server's host swap`,
    })
    expect(here.parts.log.head()).toBe(head)
    available = KEPT + 2 * MiB
    expect((await place("small")).ram).toEqual({ versions: [1], bytes: 2 * MiB, left: 0 })
    // It is there: what others take now does not drive it out.
    available = 0
    expect((await place("small")).ram).toEqual({ versions: [1], bytes: 2 * MiB, left: 0 })
    await place("small", "file")
  })

  it("stops being filled when others take the memory meanwhile, and goes on when it is asked for again", async () => {
    // Looked at when it is planned, when the fill begins, and after so many clusters.
    goneAfter = looks + 2
    await expect(place("large")).rejects.toMatchObject({
      code: "RAM_TIER_FULL",
      reason: expect.stringContaining("can be taken without making the server's host swap"),
    })
    goneAfter = Number.POSITIVE_INFINITY
    expect((await place("large")).ram).toEqual({ versions: [1], bytes: LOOK + 2 * MiB, left: 0 })
    await place("large", "file")
  })
})
