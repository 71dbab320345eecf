import { describe, expect, it } from "vitest"
import { ReadCache } from "../../../core/block/cache.ts"
import { readHeader } from "../../../core/block/overlay/header.ts"
import { createOverlay, openOverlay } from "../../../core/block/overlay/open.ts"
import { openVersion } from "../../../core/block/version.ts"
import { MemoryVolume } from "../../support/memory-volume.ts"
import { overlaySetup } from "../../support/overlay.ts"

const ones = Buffer.alloc(4096, 1)
const refusal = (request: Promise<unknown>) =>
  request.then(
    () => "opened",
    (e: { code: string }) => e.code,
  )

describe("an overlay opens", () => {
  it("with everything it had, under each policy, as often as it is closed", async () => {
    for (const policy of ["discard", "keep", "super"] as const) {
      const { options, known } = overlaySetup({ policy })
      let overlay = await createOverlay(options)
      await overlay.write(ones, 0, 8192, 4096, 0)
      await overlay.zero(16_384, 4096, 0)
      for (let i = 0; i < 3; i++) {
        await overlay.close()
        overlay = await openOverlay(options)
        expect(overlay.stats).toEqual({ dataGrains: 1, zeroGrains: 1, bytesWritten: 0 })
        const got = Buffer.alloc(20_480)
        await overlay.read(got, 0, 0, 20_480)
        const wanted = Buffer.from(known.subarray(0, 20_480))
        ones.copy(wanted, 8192)
        wanted.fill(0, 16_384)
        expect(got.equals(wanted)).toBe(true)
      }
    }
  })

  it("by its durable map alone when the host restarted, and then names that run of the host", async () => {
    const { options, folder } = overlaySetup({ policy: "keep" })
    const overlay = await createOverlay(options)
    await overlay.write(ones, 0, 0, 4096, 1)
    await overlay.write(ones, 0, 4096, 4096, 0)
    const again = await openOverlay({ ...options, hostBootId: "boot-2" })
    expect(again.stats.dataGrains).toBe(1)
    expect((await readHeader(folder))!.hostBootId).toBe("boot-2")
    expect((await openOverlay({ ...options, hostBootId: "boot-2" })).stats.dataGrains).toBe(1)
  })

  it("by its durable map when either boot id is not known, even both", async () => {
    for (const [made, opened] of [
      [undefined, undefined],
      [undefined, "boot-1"],
      ["boot-1", undefined],
    ]) {
      const { options } = overlaySetup({ policy: "super" })
      const overlay = await createOverlay({ ...options, hostBootId: made })
      await overlay.write(ones, 0, 0, 4096, 0)
      expect((await openOverlay({ ...options, hostBootId: opened })).stats.dataGrains).toBe(0)
    }
  })

  it("and syncs data and durable map even when both maps agree: the process before may have died between write and sync", async () => {
    const { options, volume } = overlaySetup({ policy: "keep" })
    await (await createOverlay(options)).close()
    await openOverlay(options)
    expect([volume("data").counts.flush, volume("durable").counts.flush]).toEqual([1, 1])
    await openOverlay({ ...options, hostBootId: "boot-2" })
    expect(volume("durable").counts.flush).toBe(1)
  })
})

describe("an overlay does not open", () => {
  it("when it is discarded and the host restarted, or may have", async () => {
    for (const hostBootId of ["boot-2", undefined]) {
      const { options } = overlaySetup()
      await (await createOverlay(options)).close()
      expect(await refusal(openOverlay({ ...options, hostBootId }))).toBe("OVERLAY_LOST")
    }
  })

  it("when there is no header, and nothing is made in its place", async () => {
    const { options, folder } = overlaySetup()
    expect(await refusal(openOverlay(options))).toBe("OVERLAY_LOST")
    await (await createOverlay(options)).close()
    folder.files.delete("header")
    expect(await refusal(openOverlay(options))).toBe("OVERLAY_LOST")
    expect(folder.files.size).toBe(0)
  })

  it("when a file is missing, cut short, or damaged in any sector", async () => {
    for (const name of ["data", "working", "durable"]) {
      const { options, folder, volume } = overlaySetup({ policy: "keep" })
      await (await createOverlay(options)).close()
      const whole = volume(name)
      folder.volumes.delete(name)
      expect(await refusal(openOverlay(options)), `${name} missing`).toBe("OVERLAY_DAMAGED")
      folder.volumes.set(name, new MemoryVolume(whole.sizeBytes - 512))
      if (name !== "durable") expect(await refusal(openOverlay(options)), `${name} short`).toBe("OVERLAY_DAMAGED")
    }
    for (const offset of [256, 8192 + 300, 8192 + 511, 8192]) {
      const { options, volume } = overlaySetup()
      const overlay = await createOverlay(options)
      await overlay.write(ones, 0, 0, 4096, 0)
      await overlay.close()
      const byte = Buffer.alloc(1)
      volume("working").get(byte, 0, offset, 1)
      byte[0]! ^= 4
      volume("working").put(byte, 0, offset, 1)
      expect(await refusal(openOverlay(options)), `byte ${offset}`).toBe("OVERLAY_DAMAGED")
    }
    const { options, folder } = overlaySetup()
    await (await createOverlay(options)).close()
    folder.files.set("header", Buffer.alloc(100))
    expect(await refusal(openOverlay(options))).toBe("OVERLAY_DAMAGED")
  })

  it("over anything but what it was made on", async () => {
    const { options, base } = overlaySetup()
    await (await createOverlay(options)).close()
    for (const other of [
      { generation: "h" },
      { clientId: "d" },
      { slot: 1 },
      { imageId: "j" },
      { version: 2 },
      { policy: "keep" as const },
    ]) {
      const binding = { ...options.binding, ...other }
      expect(await refusal(openOverlay({ ...options, binding })), JSON.stringify(other)).toBe("OVERLAY_BASE_MISMATCH")
    }
    const sizeBytes = base.sizeBytes + 512
    const cache = new ReadCache({ bytes: 65_536 })
    const longer = openVersion({ id: "x", contentId: "x", cache, below: new MemoryVolume(sizeBytes), sizeBytes })
    expect(await refusal(openOverlay({ ...options, base: longer }))).toBe("OVERLAY_BASE_MISMATCH")
    expect(await refusal(openOverlay(options))).toBe("opened")
  })

  it("with another overlay's map, although that map is sound", async () => {
    const [mine, other] = [overlaySetup(), overlaySetup()]
    for (const [setup, generation] of [
      [mine, "g"],
      [other, "other"],
    ] as const) {
      const overlay = await createOverlay({ ...setup.options, binding: { ...setup.options.binding, generation } })
      await overlay.write(ones, 0, 0, 4096, 0)
      await overlay.close()
    }
    mine.folder.volumes.set("working", other.volume("working"))
    expect(await refusal(openOverlay(mine.options))).toBe("OVERLAY_DAMAGED")
  })
})

describe("an overlay is made", () => {
  it("over what a crash left of its own making, but not over one that has a header", async () => {
    const { options, folder } = overlaySetup({ policy: "keep" })
    await folder.open("data", { create: { sizeBytes: 512 } })
    const overlay = await createOverlay(options)
    await overlay.write(ones, 0, 0, 4096, 0)
    await overlay.close()
    expect(await refusal(createOverlay(options))).toBe("OVERLAY_DAMAGED")
    expect((await openOverlay(options)).stats.dataGrains).toBe(1)
  })

  it("with its files closed again when that fails", async () => {
    const { options, folder, volume } = overlaySetup({
      files: () => ({
        fails: (request) => {
          if (request === "write") throw Object.assign(new Error("full"), { code: "ENOSPC" })
        },
      }),
    })
    await expect(createOverlay(options)).rejects.toMatchObject({ code: "ENOSPC" })
    expect([volume("data").closed, volume("working").closed]).toEqual([true, true])
    expect(folder.files.has("header")).toBe(false)
  })
})
