/** A write of the map that fails may have reached the file all the same; what is acknowledged afterwards must not depend on it. */
import { expect, it } from "vitest"
import { createOverlay, openOverlay } from "../../../core/block/overlay/open.ts"
import { overlaySetup } from "../../support/overlay.ts"

const GRAIN = 4096
const filled = (byte: number) => Buffer.alloc(GRAIN, byte)

/** An overlay whose next write of its map reaches the file and then fails. */
const setup = (mapPages: number) => {
  let left = 0
  const { options, folder, known } = overlaySetup({ mapPages, sizeBytes: 3 * 64 * 2 ** 20 })
  const failNext = (times = 1) => {
    left = times
    const volume = folder.volumes.get("working")!
    const put = volume.put.bind(volume)
    volume.put = (bytes, at, offset, length) => {
      put(bytes, at, offset, length)
      if (left === 0) return
      left--
      throw Object.assign(new Error("no space"), { code: "ENOSPC" })
    }
  }
  const killed = () => openOverlay(options)
  return { options, known, failNext, killed }
}
const grain = async (overlay: Awaited<ReturnType<typeof createOverlay>>) => {
  const into = filled(0xee)
  await overlay.read(into, 0, 0, GRAIN)
  return into[0]
}
const code = async (request: Promise<void>) =>
  request.then(
    () => "done",
    (e: { code: string }) => e.code,
  )

it("a zero acknowledged after a write whose map entry failed is a zero after a kill", async () => {
  const { options, failNext, killed } = setup(100)
  const overlay = await createOverlay(options)
  await overlay.zero(0, GRAIN, 0)
  failNext()
  expect(await code(overlay.write(filled(5), 0, 0, GRAIN, 0))).toBe("NO_SPACE")
  if (!overlay.zeroSync(0, GRAIN, 0)) await overlay.zero(0, GRAIN, 0)
  expect(await grain(overlay)).toBe(0)
  expect(await grain(await killed())).toBe(0)
})

it("a write acknowledged after a trim whose map entry failed is there after a kill", async () => {
  const { options, failNext, killed } = setup(100)
  const overlay = await createOverlay(options)
  await overlay.write(filled(5), 0, 0, GRAIN, 0)
  failNext()
  expect(await code(overlay.trim(0, GRAIN, 0))).toBe("NO_SPACE")
  if (!overlay.writeSync(filled(6), 0, 0, GRAIN, 0)) await overlay.write(filled(6), 0, 0, GRAIN, 0)
  expect(await grain(await killed())).toBe(6)
})

it("while its map cannot be written a page is read as it was, and changes to it fail", async () => {
  const { options, failNext, known } = setup(100)
  const overlay = await createOverlay(options)
  await overlay.zero(GRAIN, GRAIN, 0)
  failNext(3)
  expect(await code(overlay.write(filled(5), 0, 0, GRAIN, 0))).toBe("NO_SPACE")
  expect(await grain(overlay)).toBe(known[0])
  expect(await code(overlay.write(filled(6), 0, 0, GRAIN, 0))).toBe("NO_SPACE")
  expect(await code(overlay.trim(0, GRAIN, 0))).toBe("NO_SPACE")
  expect(await grain(overlay)).toBe(known[0])
  expect(await code(overlay.write(filled(7), 0, 0, GRAIN, 0))).toBe("done")
  expect(await grain(overlay)).toBe(7)
  expect(overlay.stats).toMatchObject({ dataGrains: 1, zeroGrains: 1 })
})

it("such a page stays in memory whatever the budget, because the file is not to be believed", async () => {
  const { options, failNext, known } = setup(1)
  const overlay = await createOverlay(options)
  await overlay.zero(GRAIN, GRAIN, 0)
  failNext()
  expect(await code(overlay.write(filled(5), 0, 0, GRAIN, 0))).toBe("NO_SPACE")
  for (const page of [1, 2]) await overlay.write(filled(8), 0, page * 64 * 2 ** 20, GRAIN, 0)
  expect(await grain(overlay)).toBe(known[0])
})
