/** When trimmed space goes back: never while a power loss could bring its bytes back, and never under a later write. */
import { mkdtempSync, rmSync, statSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, describe, expect, it } from "vitest"
import { linuxHost } from "../../../adapters/host/linux.ts"
import { MAY_UNMAP } from "../../../core/block/device.ts"
import { createOverlay, openOverlay } from "../../../core/block/overlay/open.ts"
import { fail } from "../../../core/errors.ts"
import { fileFolder } from "../../../plugins/file/folder.ts"
import { overlaySetup } from "../../support/overlay.ts"

const GRAIN = 4096
const MiB = 2 ** 20
const PAGE = 64 * MiB
const filled = (length: number, byte: number) => Buffer.alloc(length, byte)

/** An overlay whose punches are noted as `offset+length`, in grains. */
const noting = (policy: "discard" | "keep" | "super", sizeBytes = MiB) => {
  const punched: Array<string> = []
  const order: Array<string> = []
  let broken = false
  const files = (name: string) => ({
    fails: (request: string, offset: number, length: number) => {
      if (request === "flush" || request.startsWith("write")) order.push(`${request.replace("Sync", "")} ${name}`)
      if (request !== "punch") return
      if (broken) throw fail("IO_ERROR", { what: "data", why: "a punch that fails" })
      order.push("punch")
      punched.push(`${offset / GRAIN}+${length / GRAIN}`)
    },
  })
  const setup = overlaySetup({ policy, sizeBytes, files })
  const fails = (yes: boolean) => {
    broken = yes
  }
  return { ...setup, punched, order, fails }
}

describe("under discard", () => {
  it("a trim gives its space back at once, after the map says zero, in one piece", async () => {
    const { options, punched, order } = noting("discard")
    const overlay = await createOverlay(options)
    await overlay.write(filled(8 * GRAIN, 5), 0, 0, 8 * GRAIN, 0)
    order.length = 0
    await overlay.trim(100, 8 * GRAIN - 200, 0)
    expect([punched, order]).toEqual([["1+6"], ["write working", "punch"]])
    await overlay.close()
  })

  it("a zero request gives back only with MAY_UNMAP, and not at the synchronous door", async () => {
    const { options, punched } = noting("discard")
    const overlay = await createOverlay(options)
    await overlay.write(filled(8 * GRAIN, 5), 0, 0, 8 * GRAIN, 0)
    expect(overlay.zeroSync(0, GRAIN, 0)).toBe(true)
    expect(overlay.zeroSync(GRAIN, GRAIN, MAY_UNMAP)).toBe(false)
    await overlay.zero(GRAIN, GRAIN, MAY_UNMAP)
    expect(punched).toEqual(["1+1"])
    await overlay.close()
  })

  it("a punch that fails, and one that cannot be done, fail nothing", async () => {
    const { options, fails, volume } = noting("discard")
    const overlay = await createOverlay(options)
    await overlay.write(filled(2 * GRAIN, 5), 0, 0, 2 * GRAIN, 0)
    fails(true)
    await overlay.trim(0, GRAIN, 0)
    fails(false)
    volume("data").canPunch = false
    await overlay.trim(GRAIN, GRAIN, 0)
    const into = filled(2 * GRAIN, 1)
    await overlay.read(into, 0, 0, 2 * GRAIN)
    expect(into.equals(Buffer.alloc(2 * GRAIN))).toBe(true)
    await overlay.close()
  })
})

describe.each(["keep", "super"] as const)("under %s", (policy) => {
  it("space goes back with the flush that makes the trim durable, after its last sync, neighbours together", async () => {
    const { options, punched, order } = noting(policy)
    const overlay = await createOverlay(options)
    await overlay.write(filled(8 * GRAIN, 5), 0, 0, 8 * GRAIN, 0)
    await overlay.flush()
    await overlay.trim(0, 2 * GRAIN, 0)
    expect(overlay.zeroSync(2 * GRAIN, 2 * GRAIN, MAY_UNMAP)).toBe(true)
    await overlay.trim(6 * GRAIN, GRAIN, 0)
    expect(punched).toEqual([])
    order.length = 0
    await overlay.flush()
    expect(order).toEqual(["flush data", "write durable", "flush durable", "punch", "punch"])
    expect(punched).toEqual(["0+4", "6+1"])
    await overlay.flush()
    expect(punched.length).toBe(2)
    await overlay.close()
  })

  it("what was written again before the flush, or while it ran, is left alone", async () => {
    const { options, punched } = noting(policy)
    let whileSyncing = async () => {}
    const overlay = await createOverlay({
      ...options,
      flushOrder: async (s) => {
        const changes = await s.copyChanges()
        await s.syncData()
        await s.writeDurable(changes)
        await s.writeDirectory(changes)
        await s.syncDurable()
        await whileSyncing()
        await s.giveBack(changes)
      },
    })
    await overlay.write(filled(8 * GRAIN, 5), 0, 0, 8 * GRAIN, 0)
    await overlay.flush()
    await overlay.trim(0, 8 * GRAIN, 0)
    await overlay.write(filled(1, 6), 0, GRAIN, 1, 0)
    whileSyncing = async () => {
      await overlay.write(filled(GRAIN, 7), 0, 3 * GRAIN, GRAIN, 0)
    }
    await overlay.flush()
    whileSyncing = async () => {}
    expect(punched).toEqual(["0+1", "2+1", "4+4"])
    const wanted = Buffer.alloc(8 * GRAIN)
    wanted[GRAIN] = 6
    wanted.fill(7, 3 * GRAIN, 4 * GRAIN)
    const into = filled(8 * GRAIN, 1)
    await overlay.read(into, 0, 0, into.length)
    expect(into.equals(wanted)).toBe(true)
    await overlay.close()
  })

  it("what was trimmed after the flush began waits for the next", async () => {
    const { options, punched } = noting(policy)
    let whileSyncing = async () => {}
    const overlay = await createOverlay({
      ...options,
      flushOrder: async (s) => {
        const changes = await s.copyChanges()
        await whileSyncing()
        await s.writeDurable(changes)
        await s.writeDirectory(changes)
        await s.giveBack(changes)
      },
    })
    await overlay.write(filled(4 * GRAIN, 5), 0, 0, 4 * GRAIN, 0)
    await overlay.trim(0, GRAIN, 0)
    whileSyncing = () => overlay.trim(GRAIN, GRAIN, 0)
    await overlay.flush()
    expect(punched).toEqual(["0+1"])
    whileSyncing = async () => {}
    await overlay.flush()
    // The first is asked for again, with its neighbour: sectors are remembered, not grains.
    expect(punched).toEqual(["0+1", "0+2"])
    await overlay.close()
  })

  it("what could not be punched is tried again with the next flush, although nothing else changed", async () => {
    const { options, punched, fails } = noting(policy)
    const overlay = await createOverlay(options)
    await overlay.write(filled(GRAIN, 5), 0, 0, GRAIN, 0)
    await overlay.trim(0, GRAIN, 0)
    fails(true)
    await overlay.flush()
    fails(false)
    await overlay.flush()
    expect(punched).toEqual(["0+1"])
    await overlay.close()
  })

  it("a trim over two pages and over the short last grain ends where the disk ends", async () => {
    const { options, punched } = noting(policy, PAGE + GRAIN + 512)
    const overlay = await createOverlay(options)
    await overlay.write(filled(2 * GRAIN + 512, 5), 0, PAGE - GRAIN, 2 * GRAIN + 512, 0)
    await overlay.trim(PAGE - GRAIN, 2 * GRAIN + 512, 0)
    await overlay.close()
    expect(punched).toEqual([`${PAGE / GRAIN - 1}+1`, `${PAGE / GRAIN}+1.125`])
  })
})

const dir = mkdtempSync(join(tmpdir(), "imagelink-give-back-"))
afterAll(() => rmSync(dir, { recursive: true, force: true }))

describe.skipIf(process.platform !== "linux")("on a real file system", () => {
  it.each(["discard", "keep", "super"] as const)("the data file of a %s overlay becomes smaller", async (policy) => {
    const path = join(dir, policy)
    const blocks = () => statSync(join(path, "data")).blocks
    const { options } = overlaySetup({ policy, sizeBytes: 16 * MiB })
    const real = { ...options, folder: fileFolder(path, linuxHost()) }
    let overlay = await createOverlay(real)
    await overlay.write(filled(8 * MiB, 5), 0, 0, 8 * MiB, 0)
    await overlay.flush()
    await overlay.trim(MiB, 6 * MiB, 0)
    await overlay.zero(0, MiB / 2, MAY_UNMAP)
    await overlay.flush()
    expect(blocks()).toBeLessThanOrEqual((1.5 * MiB) / 512 + 16)
    await overlay.close()
    expect(blocks()).toBe((1.5 * MiB) / 512)
    overlay = await openOverlay(real)
    const into = filled(8 * MiB, 1)
    await overlay.read(into, 0, 0, into.length)
    const wanted = filled(8 * MiB, 5)
      .fill(0, 0, MiB / 2)
      .fill(0, MiB, 7 * MiB)
    expect(into.equals(wanted)).toBe(true)
    await overlay.close()
  })
})
