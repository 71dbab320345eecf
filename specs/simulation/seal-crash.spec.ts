/**
 * A commit's first half, by seed: an overlay is frozen while requests are in flight, the process or the power may go at any point, also while it
 * is taken up again; and what is then read from the folder alone must hold what was promised.
 *
 * **Details** Each 512-byte sector carries the number of the write that made it, as in overlay-crash.spec.ts. Runs say where a sector is from: data
 * from the data file, zero from nowhere, absent from the base. A freeze that settled promises everything that was acknowledged, through a power loss too.
 */
import { describe, expect, it } from "vitest"
import { ReadCache } from "../../core/block/cache.ts"
import { FUA, MAY_UNMAP } from "../../core/block/device.ts"
import { MapBudget } from "../../core/block/overlay/budget.ts"
import { type FlushOrder, flushInOrder } from "../../core/block/overlay/flush.ts"
import { createOverlay } from "../../core/block/overlay/open.ts"
import type { Overlay } from "../../core/block/overlay/overlay.ts"
import { readOwnExtents } from "../../core/block/overlay/sealed.ts"
import { openVersion } from "../../core/block/version.ts"
import { acknowledged, DiskHistory, durable } from "../support/disk-history.ts"
import { FaultFolder, FaultHost, settled } from "../support/fault-volume.ts"
import { MemoryVolume } from "../support/memory-volume.ts"
import { random } from "../support/random.ts"

const SECTOR = 512
const PAGE = 64 * 1024 * 1024
const SIZE = PAGE + 5 * 4096 + 1024
const WINDOWS = [
  [0, 24 * 1024],
  [PAGE - 8192, 8192 + 5 * 4096 + 1024],
] as const
const BASE = 0x4000_0000

const stamped = (offset: number, length: number, numberOf: (sector: number) => number): Buffer => {
  const bytes = Buffer.alloc(length)
  for (let at = 0; at < length; at += 4) bytes.writeUInt32BE(numberOf(Math.floor((offset + at) / SECTOR)), at)
  return bytes
}
const base = new MemoryVolume(SIZE)
for (const [offset, length] of WINDOWS)
  base.put(
    stamped(offset, length, (s) => BASE + s),
    0,
    offset,
    length,
  )

class Run {
  readonly r
  readonly host: FaultHost
  readonly folder: FaultFolder
  readonly history = new DiskHistory((sector) => BASE + sector)
  readonly flushOrder: FlushOrder
  readonly settle: boolean
  overlay!: Overlay
  nextValue = 1
  inFlight = 0
  lostPower = false
  frozen = false

  constructor(seed: number, flushOrder: FlushOrder, settle: boolean) {
    this.r = random(seed)
    this.host = new FaultHost(this.r)
    this.folder = new FaultFolder(this.host, { missChance: this.r.pick([0, 0.1, 0.6]) })
    this.flushOrder = flushOrder
    this.settle = settle
  }

  async go(): Promise<void> {
    const { host, r } = this
    this.overlay = await host.drive(
      createOverlay({
        folder: this.folder,
        base: openVersion({
          id: "v",
          contentId: "v",
          cache: new ReadCache({ bytes: 65_536 }),
          below: base,
          sizeBytes: SIZE,
        }),
        binding: {
          generation: "g",
          clientId: "c",
          slot: 0,
          imageId: "i",
          version: 1,
          policy: r.pick(["keep", "super"]),
        },
        client: "PC-001",
        hostBootId: `boot-${host.boot}`,
        budget: new MapBudget(r.pick([1, 100]) * 4096),
        flushOrder: this.flushOrder,
      }),
    )
    for (let step = 20 + r.int(60); step > 0; step--) {
      if (r.chance(0.5) && this.inFlight < 4) this.start()
      else if (host.waiting > 0) await host.step()
      await settled()
    }
    await this.freeze()
    if (!this.frozen || r.chance(0.5)) this.fall()
    else await host.drive(this.overlay.close())
    await this.takeUp()
    await this.check()
  }

  start(): void {
    const { r, overlay, history } = this
    const [begin, span] = r.pick(WINDOWS)
    const first = r.int(span / SECTOR)
    const count = Math.min(span / SECTOR - first, r.pick([1, 2, 8, 9, 16]))
    const [offset, length] = [begin + first * SECTOR, count * SECTOR]
    const sectors = Array.from({ length: count }, (_, i) => offset / SECTOR + i)
    const what = r.int(10)
    if (what < 2) {
      const start = history.now
      this.follow(overlay.flush(), () => history.flushed(start))
    } else if (what < 4) {
      const change = history.begin(sectors, 0)
      this.follow(overlay.zero(offset, length, r.pick([0, MAY_UNMAP])), () => change.finish(false))
    } else {
      const value = this.nextValue++
      const change = history.begin(sectors, value)
      const flags = r.pick([0, 0, 0, FUA])
      const bytes = stamped(offset, length, () => value)
      this.follow(overlay.write(bytes, 0, offset, length, flags), () => change.finish(flags === FUA))
    }
  }

  follow(request: Promise<void>, then: () => void): void {
    const { life } = this.host
    this.inFlight++
    request.then(() => {
      this.inFlight--
      if (life === this.host.life) then()
    })
  }

  /** Freezes, for as many steps as the seed says. */
  async freeze(): Promise<void> {
    const freezing = this.overlay.freeze().then(() => {
      this.frozen = true
      this.history.flushed(this.history.now)
    })
    await settled()
    const steps = this.r.pick([0, 1, 3, 10, 1000])
    for (let i = 0; i < steps && !this.frozen && this.host.waiting > 0; i++) await this.host.step()
    if (this.frozen) await freezing
  }

  /** The process or the power goes. */
  fall(): void {
    if (this.r.chance(0.5)) this.folder.kill()
    else {
      this.folder.powerLoss()
      this.lostPower = true
    }
    this.history.died()
  }

  /** Takes the commit up again, perhaps dying on the way. */
  async takeUp(): Promise<void> {
    if (!this.settle) return
    const settling = () => readOwnExtents(this.folder, `boot-${this.host.boot}`)
    for (let tries = this.r.int(3); tries > 0; tries--) {
      settling().catch(() => {})
      await settled()
      for (let i = this.r.int(12); i > 0 && this.host.waiting > 0; i--) await this.host.step()
      this.fall()
    }
    await this.host.drive(settling())
  }

  async check(): Promise<void> {
    const { host, history } = this
    const own = await host.drive(readOwnExtents(this.folder, undefined))
    const data = await host.drive(this.folder.open("data"))
    const now = history.now
    const certain = this.lostPower && !this.frozen ? durable : acknowledged
    let end = 0
    for (const { offset, length, kind } of own.extents()) {
      expect(offset).toBe(end)
      end = offset + length
      for (const [begin, span] of WINDOWS) {
        const from = Math.max(begin, offset)
        const to = Math.min(begin + span, end)
        if (from >= to) continue
        const bytes = Buffer.alloc(to - from)
        if (kind === "data") await host.drive(data.read(bytes, 0, from, bytes.length))
        if (kind === "absent") base.get(bytes, 0, from, bytes.length)
        for (let at = 0; at < bytes.length; at += SECTOR) {
          const sector = (from + at) / SECTOR
          const value = bytes.readUInt32BE(at)
          const torn = !bytes.subarray(at, at + SECTOR).equals(stamped(from + at, SECTOR, () => value))
          const allowed = [...history.allowed(sector, now, certain)]
          if (torn || !allowed.includes(value)) {
            throw new Error(`sector ${sector} is ${kind} and ${torn ? "torn" : value}; allowed: ${allowed.join(", ")}`)
          }
        }
      }
    }
    expect(end).toBe(SIZE)
  }
}

const seeds = Number(process.env.IMAGELINK_SEEDS ?? 100)
const first = Number(process.env.IMAGELINK_SEED ?? 1)

describe("what is sealed", () => {
  it(`holds what was promised, over ${seeds} seeded runs`, async () => {
    for (let seed = first; seed < first + seeds; seed++) {
      try {
        await new Run(seed, flushInOrder, true).go()
      } catch (e) {
        const replay = `replay: IMAGELINK_SEEDS=1 IMAGELINK_SEED=${seed} npx vitest run specs/simulation/seal-crash.spec.ts`
        throw new Error(`${(e as Error).message}\n${replay}`, { cause: e })
      }
    }
  })
})

/** Does any seed catch the mistake? */
const caught = async (flushOrder: FlushOrder, settle: boolean): Promise<boolean> => {
  for (let seed = 1; seed <= 200; seed++) {
    try {
      await new Run(seed, flushOrder, settle).go()
    } catch {
      return true
    }
  }
  return false
}

describe("the simulation catches", () => {
  it("a freeze that writes the durable map before it syncs the data", async () => {
    const order: FlushOrder = async (s) => {
      const changes = await s.copyChanges()
      if (await s.writeDurable(changes)) await s.syncDurable()
      if (await s.writeDirectory(changes)) await s.syncDurable()
      await s.syncData()
    }
    expect(await caught(order, true)).toBe(true)
  })

  it("a freeze that does not sync the map", async () => {
    const order: FlushOrder = async (s) => {
      const changes = await s.copyChanges()
      await s.syncData()
      await s.writeDurable(changes)
      await s.writeDirectory(changes)
    }
    expect(await caught(order, true)).toBe(true)
  })

  it("a commit that is taken up again without settling the generation", async () => {
    expect(await caught(flushInOrder, false)).toBe(true)
  })
})
