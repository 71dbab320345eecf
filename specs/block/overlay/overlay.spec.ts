import { describe, expect, it } from "vitest"
import { FUA, MAY_UNMAP } from "../../../core/block/device.ts"
import { createOverlay, openOverlay } from "../../../core/block/overlay/open.ts"
import type { Overlay } from "../../../core/block/overlay/overlay.ts"
import { overlaySetup } from "../../support/overlay.ts"

const GRAIN = 4096
const TiB = 2 ** 40
const settle = () => new Promise<void>((resolve) => setImmediate(resolve))
const filled = (length: number, byte: number) => Buffer.alloc(length, byte)
const get = async (overlay: Overlay, offset: number, length: number) => {
  const into = Buffer.alloc(length)
  await overlay.read(into, 0, offset, length)
  return into
}
/** A gate that asynchronous requests of one kind wait at. */
const gate = (kind: string) => {
  let open = () => {}
  let shut: Promise<void> | undefined
  return {
    waits: (request: string) => (request === kind ? shut : undefined),
    shut: () => {
      shut = new Promise((resolve) => {
        open = () => {
          shut = undefined
          resolve()
        }
      })
    },
    open: () => open(),
  }
}
const nospace = () => Object.assign(new Error("ENOSPC: no space left on device"), { code: "ENOSPC" })

describe("writing", () => {
  it("is one write and nothing else once a grain is data", async () => {
    const { options, volume } = overlaySetup({ policy: "keep" })
    const overlay = await createOverlay(options)
    await overlay.write(filled(GRAIN, 1), 0, 0, GRAIN, 0)
    const [data, working] = [volume("data"), volume("working")]
    const before = [data.counts.writeSync, working.counts.writeSync]
    for (const [offset, length] of [
      [0, GRAIN],
      [512, 512],
      [4095, 1],
    ] as const) {
      expect(overlay.writeSync(filled(length, 2), 0, offset, length, 0)).toBe(true)
    }
    expect([data.counts.writeSync, working.counts.writeSync]).toEqual([before[0]! + 3, before[1]])
  })

  it("never reads below for whole grains, not even the last one of 512 bytes", async () => {
    const sizeBytes = 3 * GRAIN + 512
    const { options, below } = overlaySetup({ sizeBytes })
    const overlay = await createOverlay(options)
    await overlay.write(filled(sizeBytes, 1), 0, 0, sizeBytes, 0)
    await overlay.write(filled(512, 2), 0, 3 * GRAIN, 512, 0)
    expect([below.counts.read, below.counts.readSync]).toEqual([0, 0])
    expect(overlay.stats.dataGrains).toBe(4)
  })

  it("fills a grain from below at once when the base answers at once", async () => {
    const { options, known } = overlaySetup()
    const overlay = await createOverlay(options)
    await overlay.write(filled(GRAIN, 1), 0, 64 * GRAIN, GRAIN, 0)
    expect(overlay.writeSync(filled(1000, 9), 0, 10_000, 1000, 0)).toBe(true)
    const wanted = Buffer.from(known.subarray(0, 16_384))
    wanted.fill(9, 10_000, 11_000)
    expect((await get(overlay, 0, 16_384)).equals(wanted)).toBe(true)
  })

  it("makes later writes of a grain wait for its fill, so that the bytes from below never undo them", async () => {
    const slow = gate("read")
    const { options, known } = overlaySetup({ base: { misses: () => true, waits: slow.waits } })
    const overlay = await createOverlay(options)
    await overlay.write(filled(GRAIN, 1), 0, 64 * GRAIN, GRAIN, 0)
    slow.shut()
    const small = overlay.write(filled(10, 2), 0, 100, 10, 0)
    await settle()
    expect(overlay.writeSync(filled(GRAIN, 3), 0, 0, GRAIN, 0)).toBe(false)
    expect(overlay.zeroSync(0, GRAIN, 0)).toBe(false)
    expect(overlay.writeSync(filled(GRAIN, 3), 0, GRAIN, GRAIN, 0)).toBe(true)
    const large = overlay.write(filled(GRAIN, 3), 0, 0, GRAIN, 0)
    const trim = overlay.trim(0, GRAIN, 0)
    const last = overlay.write(filled(10, 4), 0, 4000, 10, 0)
    slow.open()
    await Promise.all([small, large, trim, last])
    const wanted = Buffer.alloc(GRAIN)
    wanted.fill(4, 4000, 4010)
    expect((await get(overlay, 0, GRAIN)).equals(wanted)).toBe(true)
    expect((await get(overlay, 2 * GRAIN, 100)).equals(known.subarray(2 * GRAIN, 2 * GRAIN + 100))).toBe(true)
  })

  it("goes past a grain, a map sector, a page and the end of the disk without a byte astray", async () => {
    const page = 64 * 2 ** 20
    const sizeBytes = page + GRAIN + 512
    const { options } = overlaySetup({ sizeBytes })
    const overlay = await createOverlay(options)
    for (const [offset, length] of [
      [GRAIN - 1, 2],
      [4 * 2 ** 20 - 1, 2],
      [page - 1, 2],
      [page + GRAIN - 1, 513],
    ] as const) {
      const around = Math.min(length + 20, sizeBytes - offset + 10)
      const wanted = await get(overlay, offset - 10, around)
      await overlay.write(filled(length, 7), 0, offset, length, 0)
      wanted.fill(7, 10, 10 + length)
      expect((await get(overlay, offset - 10, around)).equals(wanted), `at ${offset}`).toBe(true)
    }
  })

  it("of more than a synchronous request's length is left to the other door", async () => {
    const { options } = overlaySetup()
    const overlay = await createOverlay(options)
    await overlay.write(filled(2 ** 20, 1), 0, 0, 2 ** 20, 0)
    expect(overlay.writeSync(filled(2 ** 18, 2), 0, 0, 2 ** 18, 0)).toBe(true)
    expect(overlay.writeSync(filled(2 ** 19, 2), 0, 0, 2 ** 18 + 512, 0)).toBe(false)
  })
})

describe("the map", () => {
  it("takes changes of one sector in turn, so that an older one in flight never undoes a newer", async () => {
    const slow = gate("write")
    let misses = false
    const { options } = overlaySetup({
      files: (name) => (name === "working" ? { misses: () => misses, waits: slow.waits } : {}),
    })
    const overlay = await createOverlay(options)
    await overlay.write(filled(GRAIN, 1), 0, 0, GRAIN, 0)
    slow.shut()
    misses = true
    const older = overlay.write(filled(GRAIN, 2), 0, GRAIN, GRAIN, 0)
    await settle()
    misses = false
    expect(overlay.writeSync(filled(GRAIN, 3), 0, 2 * GRAIN, GRAIN, 0)).toBe(false)
    expect(overlay.zeroSync(4 * GRAIN, GRAIN, 0)).toBe(false)
    expect(overlay.writeSync(filled(GRAIN, 3), 0, 0, GRAIN, 0)).toBe(true)
    const newer = overlay.write(filled(GRAIN, 3), 0, 2 * GRAIN, GRAIN, 0)
    await settle()
    slow.open()
    await Promise.all([older, newer])
    await overlay.close()
    expect((await openOverlay(options)).stats.dataGrains).toBe(3)
  })

  it("has its space in both files before the first data of an area is written", async () => {
    const order: Array<string> = []
    const { options } = overlaySetup({
      policy: "keep",
      files: (name) => ({
        fails: (request, offset, length) => {
          if (request.startsWith("write")) order.push(`${name} ${offset} ${length}`)
        },
      }),
    })
    const overlay = await createOverlay(options)
    order.length = 0
    await overlay.write(filled(GRAIN, 1), 0, 0, GRAIN, 0)
    expect(order).toEqual([
      "working 8192 8192",
      "durable 8192 8192",
      "working 0 512",
      "data 0 4096",
      "working 8192 512",
    ])
  })
})

describe("reading", () => {
  it("of data from an earlier process waits once, and is quick from then on", async () => {
    const { options } = overlaySetup()
    await (async () => {
      const overlay = await createOverlay(options)
      await overlay.write(filled(GRAIN, 5), 0, 0, GRAIN, 0)
      await overlay.close()
    })()
    const overlay = await openOverlay(options)
    const into = Buffer.alloc(512)
    expect(overlay.readSync(into, 0, 0, 512)).toBe(false)
    await overlay.extents(0, 512, 1)
    expect(options.budget.bytes).toBe(4096)
    expect(overlay.readSync(into, 0, 0, 512)).toBe(false)
    // A small write into it may have to wait for the rest of its page of memory as well; a whole grain need not.
    expect(overlay.writeSync(into, 0, 0, 512, 0)).toBe(false)
    await overlay.read(into, 0, 0, 512)
    expect(overlay.readSync(into, 0, 1024, 512)).toBe(true)
    expect(into.equals(filled(512, 5))).toBe(true)
  })

  it("answers at once over absent, zero and data grains in one request", async () => {
    const { options, known } = overlaySetup()
    const overlay = await createOverlay(options)
    await overlay.write(filled(GRAIN, 5), 0, GRAIN, GRAIN, 0)
    await overlay.zero(2 * GRAIN, GRAIN, 0)
    const into = filled(4 * GRAIN, 0xee)
    expect(overlay.readSync(into, 0, 0, 4 * GRAIN)).toBe(true)
    const wanted = Buffer.from(known.subarray(0, 4 * GRAIN))
    wanted.fill(5, GRAIN, 2 * GRAIN).fill(0, 2 * GRAIN, 3 * GRAIN)
    expect(into.equals(wanted)).toBe(true)
  })
})

describe("zero and trim", () => {
  it("give zeros that stay zeros when part of a grain is written later, with or without punching", async () => {
    for (const punches of [true, false]) {
      const { options, volume } = overlaySetup()
      const overlay = await createOverlay(options)
      volume("data").canPunch = punches
      await overlay.write(filled(4 * GRAIN, 5), 0, 0, 4 * GRAIN, 0)
      await overlay.trim(0, 2 * GRAIN, 0)
      await overlay.zero(2 * GRAIN, 2 * GRAIN, 0)
      expect(overlay.stats).toMatchObject({ dataGrains: 0, zeroGrains: 4 })
      await overlay.write(filled(1, 6), 0, 100, 1, 0)
      await overlay.write(filled(1, 6), 0, 2 * GRAIN + 100, 1, 0)
      const wanted = Buffer.alloc(4 * GRAIN)
      wanted[100] = wanted[2 * GRAIN + 100] = 6
      expect((await get(overlay, 0, 4 * GRAIN)).equals(wanted)).toBe(true)
      expect(volume("data").counts.punch).toBe(1)
    }
  })

  it("of grains that were never written hide the base", async () => {
    const { options } = overlaySetup()
    const overlay = await createOverlay(options)
    await overlay.trim(0, GRAIN, 0)
    await overlay.zero(GRAIN + 1, 1, MAY_UNMAP)
    expect((await get(overlay, 0, GRAIN)).every((b) => b === 0)).toBe(true)
    expect((await get(overlay, GRAIN + 1, 1))[0]).toBe(0)
    expect(await overlay.extents(0, GRAIN, 1)).toEqual([{ offset: 0, length: GRAIN, kind: "zero" }])
  })

  it("of a whole empty disk of four tebibytes make no map", async () => {
    const { options, volume } = overlaySetup({ sizeBytes: 4 * TiB })
    const overlay = await createOverlay(options)
    await overlay.trim(TiB, 3 * TiB, 0)
    await overlay.zero(TiB, 3 * TiB, MAY_UNMAP)
    expect(volume("working").chunks.size).toBeLessThanOrEqual(4)
    expect(overlay.stats.zeroGrains).toBe(0)
  })

  it("of the last, partial grain reach the end of the disk", async () => {
    const sizeBytes = 3 * GRAIN + 512
    for (const how of ["trim", "zero"] as const) {
      const { options } = overlaySetup({ sizeBytes })
      const overlay = await createOverlay(options)
      await overlay.write(filled(GRAIN, 1), 0, 0, GRAIN, 0)
      await overlay[how](3 * GRAIN, 512, 0)
      expect((await get(overlay, 3 * GRAIN, 512)).every((b) => b === 0)).toBe(true)
      expect(overlay.stats.zeroGrains).toBe(1)
    }
  })
})

describe("flush", () => {
  it("costs a discard overlay nothing, and FUA neither", async () => {
    const { options, volume } = overlaySetup()
    const overlay = await createOverlay(options)
    await overlay.write(filled(GRAIN, 1), 0, 0, GRAIN, FUA)
    expect(overlay.writeSync(filled(GRAIN, 1), 0, 0, GRAIN, FUA)).toBe(true)
    await overlay.flush()
    expect([volume("data").counts.flush, volume("working").counts.flush]).toEqual([0, 0])
  })

  it("writes a map only when it changed, and syncs data always", async () => {
    const { options, volume } = overlaySetup({ policy: "keep" })
    const overlay = await createOverlay(options)
    const counts = () => [volume("data").counts.flush, volume("durable").counts.flush]
    const [data, durable] = counts()
    await overlay.write(filled(GRAIN, 1), 0, 0, GRAIN, FUA)
    // The page is new: its sectors are synced before the directory names it.
    expect(counts()).toEqual([data! + 1, durable! + 2])
    await overlay.write(filled(GRAIN, 2), 0, 0, GRAIN, FUA)
    expect(counts()).toEqual([data! + 2, durable! + 2])
    await overlay.write(filled(GRAIN, 2), 0, GRAIN, GRAIN, FUA)
    expect(counts()).toEqual([data! + 3, durable! + 3])
  })

  it("groups a hundred flushes into one that runs and one that waits", async () => {
    const slow = gate("flush")
    const { options, volume } = overlaySetup({ policy: "keep", files: () => ({ waits: slow.waits }) })
    const overlay = await createOverlay(options)
    const before = volume("data").counts.flush
    slow.shut()
    const flushes = Array.from({ length: 100 }, () => overlay.flush())
    await settle()
    slow.open()
    await Promise.all(flushes)
    expect(volume("data").counts.flush).toBe(before + 2)
  })

  it("brings over the next time what a full disk kept from the durable map", async () => {
    let full = false
    const { options } = overlaySetup({
      policy: "keep",
      files: (name) => ({
        fails: (request) => {
          if (full && name === "durable" && request.startsWith("write")) throw nospace()
        },
      }),
    })
    const overlay = await createOverlay(options)
    await overlay.write(filled(GRAIN, 1), 0, 0, GRAIN, 0)
    full = true
    await expect(overlay.flush()).rejects.toMatchObject({ code: "NO_SPACE" })
    full = false
    await overlay.flush()
    expect((await openOverlay({ ...options, hostBootId: "boot-2" })).stats.dataGrains).toBe(1)
  })

  it("fails for good once a sync has failed, because the next one would not tell", async () => {
    let broken = false
    const { options } = overlaySetup({
      policy: "keep",
      files: (name) => ({
        fails: (request) => {
          if (broken && name === "data" && request === "flush") throw new Error("EIO: i/o error, fsync")
        },
      }),
    })
    const overlay = await createOverlay(options)
    broken = true
    await expect(overlay.flush()).rejects.toMatchObject({ code: "IO_ERROR" })
    broken = false
    await expect(overlay.flush()).rejects.toMatchObject({ code: "IO_ERROR" })
    await expect(overlay.write(filled(GRAIN, 1), 0, 0, GRAIN, FUA)).rejects.toMatchObject({ code: "IO_ERROR" })
    await overlay.write(filled(GRAIN, 1), 0, 0, GRAIN, 0)
    expect((await get(overlay, 0, GRAIN)).equals(filled(GRAIN, 1))).toBe(true)
  })
})

describe("a full disk", () => {
  it("fails the write with NO_SPACE and its offset, and leaves the overlay as it was", async () => {
    for (const file of ["data", "working"]) {
      let full = false
      const { options, known } = overlaySetup({
        files: (name) => ({
          fails: (request) => {
            if (full && name === file && request.startsWith("write")) throw nospace()
          },
        }),
      })
      const overlay = await createOverlay(options)
      await overlay.write(filled(GRAIN, 1), 0, 0, GRAIN, 0)
      full = true
      const refused = expect.objectContaining({ code: "NO_SPACE" })
      expect(() => overlay.writeSync(filled(GRAIN, 2), 0, 3 * GRAIN, GRAIN, 0)).toThrow(refused)
      await expect(overlay.write(filled(GRAIN, 2), 0, 3 * GRAIN, GRAIN, 0)).rejects.toThrow(refused)
      full = false
      expect((await get(overlay, 3 * GRAIN, GRAIN)).equals(known.subarray(3 * GRAIN, 4 * GRAIN))).toBe(true)
      expect(overlay.stats.dataGrains).toBe(1)
      // Where the map could not be written, its file is made right first, and that is not done at once.
      const atOnce = overlay.writeSync(filled(GRAIN, 2), 0, 3 * GRAIN, GRAIN, 0)
      expect(atOnce).toBe(file === "data")
      if (!atOnce) await overlay.write(filled(GRAIN, 2), 0, 3 * GRAIN, GRAIN, 0)
      expect(overlay.writeSync(filled(GRAIN, 3), 0, 4 * GRAIN, GRAIN, 0)).toBe(true)
    }
  })

  it("in the quota's sense begins one grain past it; overwriting, zeroing and trimming go on", async () => {
    const { options } = overlaySetup()
    const warnings: Array<number> = []
    const overlay = await createOverlay({
      ...options,
      quotaBytes: 10 * GRAIN,
      onQuotaWarning: ({ usedBytes }) => warnings.push(usedBytes / GRAIN),
    })
    await overlay.write(filled(7 * GRAIN, 1), 0, 0, 7 * GRAIN, 0)
    expect(warnings).toEqual([])
    expect(overlay.writeSync(filled(GRAIN, 1), 0, 7 * GRAIN, GRAIN, 0)).toBe(true)
    await overlay.write(filled(2 * GRAIN, 1), 0, 8 * GRAIN, 2 * GRAIN, 0)
    expect(warnings).toEqual([8])
    const refused = expect.objectContaining({ code: "NO_SPACE", offset: 20 * GRAIN })
    expect(() => overlay.writeSync(filled(1, 1), 0, 20 * GRAIN, 1, 0)).toThrow(refused)
    await expect(overlay.write(filled(1, 1), 0, 20 * GRAIN, 1, 0)).rejects.toThrow(refused)
    expect(overlay.writeSync(filled(10 * GRAIN, 2), 0, 0, 10 * GRAIN, 0)).toBe(true)
    await overlay.zero(20 * GRAIN, GRAIN, 0)
    await overlay.trim(0, 9 * GRAIN, 0)
    await overlay.write(filled(7 * GRAIN, 1), 0, 0, 7 * GRAIN, 0)
    expect(warnings).toEqual([8, 8])
    expect(overlay.stats.dataGrains).toBe(8)
  })
})

describe("memory", () => {
  it("of the map stays in its budget, whatever is written where on four tebibytes", async () => {
    const { options, volume } = overlaySetup({ sizeBytes: 4 * TiB, policy: "keep", mapPages: 3 })
    const overlay = await createOverlay(options)
    const places = Array.from({ length: 20 }, (_, i) => Math.floor(((i * 3 + 0.5) * 4 * TiB) / 60 / GRAIN) * GRAIN)
    for (const [i, offset] of places.entries()) await overlay.write(filled(GRAIN, i + 1), 0, offset, GRAIN, 0)
    expect(options.budget.bytes).toBe(3 * 4096)
    await overlay.flush()
    for (const [i, offset] of places.entries()) {
      expect((await get(overlay, offset, GRAIN)).equals(filled(GRAIN, i + 1))).toBe(true)
    }
    expect(options.budget.bytes).toBe(3 * 4096)
    const again = await openOverlay({ ...options, hostBootId: "boot-2" })
    expect(again.stats.dataGrains).toBe(20)
    expect((await get(again, places[19]!, GRAIN)).equals(filled(GRAIN, 20))).toBe(true)
    expect(volume("data").chunks.size).toBe(20)
    await overlay.close()
    await again.close()
    expect(options.budget.bytes).toBe(0)
  })
})

describe("the end", () => {
  it("by retiring refuses what comes later, and lets what is in flight end", async () => {
    const slow = gate("read")
    const { options, known } = overlaySetup({ base: { misses: () => true, waits: slow.waits } })
    const overlay = await createOverlay(options)
    slow.shut()
    const reading = get(overlay, 0, 512)
    overlay.retire()
    const refused = expect.objectContaining({ code: "OVERLAY_RETIRED" })
    expect(() => overlay.readSync(Buffer.alloc(1), 0, 0, 1)).toThrow(refused)
    expect(() => overlay.writeSync(Buffer.alloc(1), 0, 0, 1, 0)).toThrow(refused)
    expect(() => overlay.zeroSync(0, 1, 0)).toThrow(refused)
    for (const request of [overlay.flush(), overlay.trim(0, GRAIN, 0), overlay.lock(0, 1), overlay.extents(0, 1, 1)]) {
      await expect(request).rejects.toThrow(refused)
    }
    slow.open()
    expect((await reading).equals(known.subarray(0, 512))).toBe(true)
    await overlay.close()
    await expect(overlay.read(Buffer.alloc(1), 0, 0, 1)).rejects.toThrow(refused)
  })

  it("by closing waits for writes in flight, brings a kept disk to the disk, and closes its files once", async () => {
    const slow = gate("write")
    const { options, volume } = overlaySetup({ policy: "keep", files: () => ({ waits: slow.waits }) })
    const overlay = await createOverlay(options)
    await overlay.write(filled(GRAIN, 1), 0, 0, GRAIN, 0)
    slow.shut()
    const writing = overlay.write(filled(GRAIN, 2), 0, GRAIN, GRAIN, 0)
    await settle()
    const closing = overlay.close()
    await settle()
    expect(volume("data").closed).toBe(false)
    slow.open()
    await writing
    await closing
    await overlay.close()
    expect([volume("data").closed, volume("working").closed, volume("durable").closed]).toEqual([true, true, true])
    expect((await openOverlay({ ...options, hostBootId: "boot-2" })).stats.dataGrains).toBe(2)
  })
})

describe("a read of scattered writes", () => {
  /** Grains 1, 3, 5 … were written, and the base is in the cache. */
  const scattered = async (written: ReadonlyArray<number>) => {
    const setup = overlaySetup({ base: { misses: () => true } })
    const overlay = await createOverlay(setup.options)
    const expected = Buffer.from(setup.known)
    for (const grain of written) {
      expected.fill(grain, grain * GRAIN, (grain + 1) * GRAIN)
      await overlay.write(expected, grain * GRAIN, grain * GRAIN, GRAIN, 0)
    }
    await overlay.read(Buffer.alloc(65_536), 0, 0, 65_536)
    const reads = () => setup.volume("data").counts.readSync
    const readAt = (offset: number, length: number) => {
      const [into, before] = [Buffer.alloc(length + 2, 0xa5), reads()]
      expect(overlay.readSync(into, 1, offset, length)).toBe(true)
      expect(into.subarray(1, length + 1).equals(expected.subarray(offset, offset + length))).toBe(true)
      expect([into[0], into[length + 1]]).toEqual([0xa5, 0xa5])
      return reads() - before
    }
    return { overlay, expected, readAt }
  }

  it("takes runs with one grain between them from the data file at once, and the base's grain over them", async () => {
    const { readAt } = await scattered([1, 3, 4, 6, 9])
    expect(readAt(0, 16 * GRAIN)).toBe(2)
    expect(readAt(512, 6 * GRAIN)).toBe(1)
    expect(readAt(GRAIN + 512, 5 * GRAIN)).toBe(1)
    expect([readAt(0, 5 * GRAIN), readAt(0, 3 * GRAIN)]).toEqual([1, 1])
    expect([readAt(6 * GRAIN, 2 * GRAIN), readAt(7 * GRAIN, 2 * GRAIN)]).toEqual([1, 0])
  })

  it("that the operating system may not hold takes the shorter gaps with it too, in one read, and reads the same", async () => {
    const setup = overlaySetup()
    const first = await createOverlay(setup.options)
    const expected = Buffer.from(setup.known)
    for (const grain of [1, 3, 10, 16, 33, 34, 80, 98, 115]) {
      expected.fill(grain, grain * GRAIN, (grain + 1) * GRAIN)
      await first.write(expected, grain * GRAIN, grain * GRAIN, GRAIN, 0)
    }
    await first.zero(100 * GRAIN, GRAIN, 0)
    expected.fill(0, 100 * GRAIN, 101 * GRAIN)
    await first.close()
    const overlay = await openOverlay(setup.options)
    const { counts } = setup.volume("data")
    const readAt = async (grain: number, grains: number) => {
      const into = Buffer.alloc(grains * GRAIN)
      const before = counts.read
      expect(overlay.readSync(into, 0, grain * GRAIN, grains * GRAIN)).toBe(false)
      await overlay.read(into, 0, grain * GRAIN, grains * GRAIN)
      expect(into.equals(expected.subarray(grain * GRAIN, (grain + grains) * GRAIN))).toBe(true)
      return counts.read - before
    }
    // 1, 3, 10 and 16; 33 and 34 are sixteen grains further, 80 is more.
    expect(await readAt(0, 64)).toBe(1)
    expect(await readAt(64, 32)).toBe(1)
    // Zeros lie between 98 and 115.
    expect(await readAt(96, 32)).toBe(2)
    expect(overlay.readSync(Buffer.alloc(GRAIN), 0, 3 * GRAIN, GRAIN), "hot from now on").toBe(true)
    await overlay.close()
  })

  it("takes each by itself where a grain of zeros lies between, whose old bytes nobody may see or wait for", async () => {
    const { overlay, expected, readAt } = await scattered([1, 3, 5, 7])
    await overlay.zero(4 * GRAIN, 2 * GRAIN, 0)
    expected.fill(0, 4 * GRAIN, 6 * GRAIN)
    expect(readAt(0, 16 * GRAIN)).toBe(2)
  })

  it("misses when the base does not answer at once, and the asynchronous door reads the same", async () => {
    const { overlay, expected } = await scattered([33, 35, 37])
    const into = Buffer.alloc(16 * GRAIN)
    expect(overlay.readSync(into, 0, 32 * GRAIN, 16 * GRAIN)).toBe(false)
    await overlay.read(into, 0, 32 * GRAIN, 16 * GRAIN)
    expect(into.equals(expected.subarray(32 * GRAIN, 48 * GRAIN))).toBe(true)
  })
})
