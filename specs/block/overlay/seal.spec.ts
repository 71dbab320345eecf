import { describe, expect, it } from "vitest"
import { type Extent, MAY_UNMAP } from "../../../core/block/device.ts"
import { createOverlay, openOverlay } from "../../../core/block/overlay/open.ts"
import { readOwnExtents } from "../../../core/block/overlay/sealed.ts"
import { baseMap, extendMap, ownRuns } from "../../support/layers.ts"
import { overlaySetup } from "../../support/overlay.ts"
import { random } from "../../support/random.ts"

const GRAIN = 4096
const PAGE = 64 * 2 ** 20
const bytes = (length: number) => Buffer.alloc(length, 7)
const settle = () => new Promise<void>((resolve) => setImmediate(resolve))
const listed = async (runs: AsyncIterable<Extent>) => {
  const all: Array<Extent> = []
  for await (const run of runs) all.push(run)
  return all
}
const refusal = (request: Promise<unknown>) =>
  request.then(
    () => "done",
    (e: { code: string }) => e.code,
  )

/** Runs over a page boundary, zeros over data over zeros, and the disk's last 512 bytes. */
const changed = async (more: Parameters<typeof overlaySetup>[0] = {}) => {
  const sizeBytes = 3 * PAGE + 3 * GRAIN + 512
  const setup = overlaySetup({ sizeBytes, policy: "super", ...more })
  const overlay = await createOverlay(setup.options)
  await overlay.write(bytes(4 * GRAIN), 0, PAGE - 2 * GRAIN, 4 * GRAIN, 0)
  await overlay.zero(0, 3 * GRAIN, 0)
  await overlay.write(bytes(GRAIN), 0, GRAIN, GRAIN, 0)
  await overlay.zero(PAGE, GRAIN, 0)
  await overlay.write(bytes(512), 0, sizeBytes - 512, 512, 0)
  const runs = [
    { offset: 0, length: GRAIN, kind: "zero" },
    { offset: GRAIN, length: GRAIN, kind: "data" },
    { offset: 2 * GRAIN, length: GRAIN, kind: "zero" },
    { offset: 3 * GRAIN, length: PAGE - 5 * GRAIN, kind: "absent" },
    { offset: PAGE - 2 * GRAIN, length: 2 * GRAIN, kind: "data" },
    { offset: PAGE, length: GRAIN, kind: "zero" },
    { offset: PAGE + GRAIN, length: GRAIN, kind: "data" },
    { offset: PAGE + 2 * GRAIN, length: 2 * PAGE + GRAIN, kind: "absent" },
    { offset: sizeBytes - 512, length: 512, kind: "data" },
  ]
  return { ...setup, overlay, sizeBytes, runs, own: { dataBytes: 4 * GRAIN + 512, zeroBytes: 3 * GRAIN } }
}

describe("freezing an overlay", () => {
  it("tells what it holds, in bytes and in runs that cover the disk", async () => {
    const { overlay, runs, own } = await changed()
    expect(await overlay.freeze()).toEqual(own)
    expect(await listed(overlay.ownExtents())).toEqual(runs)
    await overlay.close()
  })

  it("tells the same with room for one page of map", async () => {
    const { overlay, runs } = await changed({ mapPages: 1 })
    await overlay.freeze()
    expect(await listed(overlay.ownExtents())).toEqual(runs)
  })

  it("of one that nobody wrote to tells one absent run", async () => {
    const { options } = overlaySetup({ sizeBytes: 512, policy: "keep" })
    const overlay = await createOverlay(options)
    expect(await overlay.freeze()).toEqual({ dataBytes: 0, zeroBytes: 0 })
    expect(await listed(overlay.ownExtents())).toEqual([{ offset: 0, length: 512, kind: "absent" }])
  })

  it("of one that was written or zeroed whole counts its last bytes, not its last grain", async () => {
    const { options } = overlaySetup({ sizeBytes: GRAIN + 512, policy: "super" })
    const overlay = await createOverlay(options)
    await overlay.zero(0, GRAIN + 512, 0)
    expect(await overlay.freeze()).toEqual({ dataBytes: 0, zeroBytes: GRAIN + 512 })
    expect(await listed(overlay.ownExtents())).toEqual([{ offset: 0, length: GRAIN + 512, kind: "zero" }])
  })

  it("refuses every later request, by either door, while those in flight end as they would have", async () => {
    let open = () => {}
    const shut = new Promise<void>((resolve) => {
      open = resolve
    })
    const { options } = overlaySetup({
      policy: "super",
      files: (name) =>
        name === "data" ? { misses: () => true, waits: (r) => (r === "write" ? shut : undefined) } : {},
    })
    const overlay = await createOverlay(options)
    const last = overlay.write(bytes(GRAIN), 0, 0, GRAIN, 0)
    let frozen = false
    const freezing = overlay.freeze().then((own) => {
      frozen = true
      return own
    })
    await settle()
    expect(frozen).toBe(false)
    expect(() => overlay.writeSync(bytes(1), 0, 0, 1, 0)).toThrow("retired")
    expect(() => overlay.zeroSync(0, GRAIN, 0)).toThrow("retired")
    expect(() => overlay.readSync(bytes(1), 0, 0, 1)).toThrow("retired")
    for (const request of [
      overlay.write(bytes(1), 0, 0, 1, 0),
      overlay.zero(0, 1, 0),
      overlay.trim(0, GRAIN, 0),
      overlay.flush(),
      overlay.read(bytes(1), 0, 0, 1),
    ]) {
      expect(await refusal(request)).toBe("OVERLAY_RETIRED")
    }
    open()
    await last
    expect(await freezing).toEqual({ dataBytes: GRAIN, zeroBytes: 0 })
  })

  it("syncs the data before the map, and is done once however often it is asked", async () => {
    const { overlay, volume, own } = await changed()
    const before = [volume("data").counts.flush, volume("durable").counts.flush]
    const twice = await Promise.all([overlay.freeze(), overlay.freeze()])
    expect(twice).toEqual([own, own])
    expect(await overlay.freeze()).toEqual(own)
    expect([volume("data").counts.flush, volume("durable").counts.flush]).toEqual([before[0]! + 1, before[1]! + 2])
  })

  it("fails with its sync, tells no runs then, and fails again: what was lost is not written twice", async () => {
    let broken = false
    const { overlay } = await changed({
      files: (name) => ({
        fails: (request) => {
          if (broken && name === "data" && request === "flush") throw new Error("the disk is gone")
        },
      }),
    })
    broken = true
    expect(await refusal(overlay.freeze())).toBe("IO_ERROR")
    expect(() => overlay.ownExtents()).toThrow("between freeze and close")
    broken = false
    expect(await refusal(overlay.freeze())).toBe("IO_ERROR")
    await overlay.close().catch(() => undefined)
  })

  it("may be asked again when the map had no space, and then holds everything", async () => {
    let full = false
    const { overlay, own, runs, folder } = await changed({
      files: (name) => ({
        fails: (request) => {
          if (full && name === "durable" && request.startsWith("write")) {
            throw Object.assign(new Error("full"), { code: "ENOSPC" })
          }
        },
      }),
    })
    full = true
    expect(await refusal(overlay.freeze())).toBe("NO_SPACE")
    full = false
    expect(await overlay.freeze()).toEqual(own)
    await overlay.close()
    expect([...(await readOwnExtents(folder, undefined)).extents()]).toEqual(runs)
  })

  it("is refused once the overlay closes, and is waited for by a close that comes during it", async () => {
    const { overlay, own, volume } = await changed()
    const freezing = overlay.freeze()
    const closing = overlay.close()
    expect(await freezing).toEqual(own)
    await closing
    expect(volume("data").closed).toBe(true)
    expect(() => overlay.ownExtents()).toThrow("between freeze and close")
    const other = await changed()
    const closed = other.overlay.close()
    expect(await refusal(other.overlay.freeze())).toBe("CLOSED")
    await closed
  })

  it("is not for a disk that ends with its boot", async () => {
    const { options } = overlaySetup({ policy: "discard" })
    const overlay = await createOverlay(options)
    expect(() => overlay.freeze()).toThrow("can be sealed")
  })
})

describe("a generation that nobody opens any more", () => {
  const thisRun = "boot-1"

  it("is read from its folder and makes the map of a version", async () => {
    const { overlay, folder, runs, own, sizeBytes, volume } = await changed()
    await overlay.freeze()
    await overlay.close()
    const sealed = await readOwnExtents(folder, undefined)
    expect(sealed).toMatchObject({ ...own, header: { imageId: "i", version: 1, sizeBytes } })
    expect([...sealed.extents()]).toEqual(runs)
    const map = extendMap(baseMap(sizeBytes), 2, sealed.extents())
    expect([...ownRuns(map)]).toEqual(runs)
    expect(volume("durable").closed).toBe(true)
  })

  it("holds after a death of the server what was acknowledged, as often as it is read", async () => {
    const { folder, options, runs, own } = await changed()
    expect(await readOwnExtents(folder, undefined)).toMatchObject({ dataBytes: 0, zeroBytes: 0 })
    for (const boot of [options.hostBootId, options.hostBootId, undefined]) {
      const settled = await readOwnExtents(folder, boot)
      expect(settled).toMatchObject(own)
      expect([...settled.extents()]).toEqual(runs)
    }
  })

  it.each([1, 2, 15, 16, 17, 18, 127, 128, 129])("is read with gaps of %i pages, and settles in them", async (gap) => {
    const pages = [0, 1, 1 + gap, 2 + gap, 2 + 2 * gap]
    const sizeBytes = (pages.at(-1)! + 1) * PAGE + 512
    const setup = overlaySetup({ sizeBytes, policy: "super" })
    const overlay = await createOverlay(setup.options)
    for (const [i, page] of pages.entries()) await overlay.write(bytes(GRAIN), 0, page * PAGE + i * GRAIN, GRAIN, 0)
    await overlay.flush()
    const [settled, late] = [pages.at(-1)! * PAGE + 100 * GRAIN, PAGE * (1 + gap) + 200 * GRAIN]
    await overlay.write(bytes(GRAIN), 0, settled, GRAIN, 0)
    await overlay.write(bytes(GRAIN), 0, late, GRAIN, 0)
    // the server dies here: nothing was flushed or closed
    const places = [...pages.map((page, i) => page * PAGE + i * GRAIN), settled, late].sort((a, b) => a - b)
    for (const boot of [thisRun, thisRun, undefined]) {
      const own = await readOwnExtents(setup.folder, boot)
      const data = [...own.extents()].filter(({ kind }) => kind === "data")
      expect(data).toEqual(places.map((offset) => ({ offset, length: GRAIN, kind: "data" })))
      expect([own.dataBytes, own.zeroBytes]).toEqual([places.length * GRAIN, 0])
    }
  })

  it("tells data next to zeros, runs across words, sectors and pages, and a short last grain", async () => {
    const sizeBytes = 3 * PAGE + 16 * GRAIN + 512
    const r = random(7)
    const setup = overlaySetup({ sizeBytes, policy: "super" })
    const overlay = await createOverlay(setup.options)
    for (let i = 0; i < 200; i++) {
      const at = GRAIN * r.int(3 * 16_384)
      const length = Math.min(sizeBytes - at, GRAIN * r.pick([1, 3, 15, 16, 17, 1023, 1024, 1025]))
      if (r.chance(0.5)) await overlay.zero(at, length, MAY_UNMAP)
      else
        for (let from = 0; from < length; from += 64 * GRAIN)
          await overlay.write(bytes(64 * GRAIN), 0, at + from, Math.min(64 * GRAIN, length - from), 0)
    }
    await overlay.zero(3 * PAGE + 16 * GRAIN, 512, MAY_UNMAP)
    const own = await overlay.freeze()
    const runs = await listed(overlay.ownExtents())
    await overlay.close()
    const sealed = await readOwnExtents(setup.folder, thisRun)
    expect(sealed).toMatchObject(own)
    expect([...sealed.extents()]).toEqual(runs)
    const sum = (kind: string) => runs.reduce((all, run) => all + (run.kind === kind ? run.length : 0), 0)
    expect(own).toEqual({ dataBytes: sum("data"), zeroBytes: sum("zero") })
  })

  it("holds after a power loss what was flushed, and settling changes nothing", async () => {
    const { overlay, folder, options } = await changed()
    await overlay.flush()
    await overlay.write(bytes(GRAIN), 0, 8 * GRAIN, GRAIN, 0)
    for (const boot of ["boot-2", undefined])
      expect((await readOwnExtents(folder, boot)).dataBytes).toBe(4 * GRAIN + 512)
    const again = await openOverlay({ ...options, hostBootId: "boot-2" })
    expect(again.stats.dataGrains).toBe(5)
  })

  it("is refused when something of it is missing or damaged", async () => {
    const { overlay, folder } = await changed()
    await overlay.freeze()
    await overlay.close()
    const damage = async (name: string) => {
      const volume = await folder.open(name)
      volume.put(bytes(1), 0, 8192 + 300, 1)
      await volume.close()
    }
    await damage("working")
    expect(await refusal(readOwnExtents(folder, thisRun))).toBe("OVERLAY_DAMAGED")
    expect(folder.volumes.get("working")!.closed).toBe(true)
    expect(await refusal(readOwnExtents(folder, undefined))).toBe("done")
    await damage("durable")
    expect(await refusal(readOwnExtents(folder, undefined))).toBe("OVERLAY_DAMAGED")
    expect(folder.volumes.get("durable")!.closed).toBe(true)
    await folder.remove("durable")
    expect(await refusal(readOwnExtents(folder, undefined))).toBe("OVERLAY_DAMAGED")
    expect(await refusal(readOwnExtents(folder, thisRun))).toBe("OVERLAY_DAMAGED")
    await folder.remove("header")
    expect(await refusal(readOwnExtents(folder, undefined))).toBe("OVERLAY_DAMAGED")
    expect(await refusal(readOwnExtents(folder, thisRun))).toBe("OVERLAY_DAMAGED")
  })
})
