import { describe, expect, it } from "vitest"
import { type BootRecord, encodeBootRecord, noBoots, readBootRecord, withSlot } from "../../core/runtime/boot-record.ts"
import { makeBootRecords } from "../../core/runtime/boots.ts"
import type { VolumeFolder } from "../../core/storage/volume.ts"
import { codeOf } from "../support/committing.ts"

const record: BootRecord = {
  boot: "agralm6qady7f47u6x3pp6hz",
  at: 1_763_856_000_000,
  began: 1_763_856_000_100,
  serial: 3,
  slots: [{ slot: 0, epoch: 12, policy: "discard", serial: 3 }],
}

/** A client's folder with one small file, whose replacement can be made to fail before or after it is done. */
const folderOf = (bytes?: Uint8Array) => {
  const state = { bytes, fails: undefined as "before" | "after" | undefined, replaced: 0, reads: 0 }
  const folder = {
    path: "overlays/c",
    folder: () => folder,
    readFile: async () => {
      state.reads++
      return state.bytes
    },
    replaceFile: async (_: string, next: Uint8Array) => {
      const { fails } = state
      if (fails === "before") throw new Error("disk full")
      state.bytes = next
      state.replaced++
      if (fails === "after") throw new Error("not synced")
    },
  } as Partial<VolumeFolder> as VolumeFolder
  return { state, folder }
}

describe("the record of a client's boots", () => {
  it("reads as it was written", async () => {
    for (const r of [record, noBoots, withSlot(record, { slot: 15, epoch: 1, policy: "super", serial: 3 })])
      expect(await readBootRecord(folderOf(encodeBootRecord(r)).folder)).toEqual(r)
    expect(await readBootRecord(folderOf().folder)).toBe(undefined)
  })

  it("with any byte changed, or cut anywhere, is damaged and never another record", async () => {
    const whole = encodeBootRecord(record)
    // The last byte is the end of its line.
    for (let i = 0; i < whole.length - 1; i++) {
      const changed = Buffer.from(whole)
      changed[i]! ^= 1
      expect(await codeOf(readBootRecord(folderOf(changed).folder)), `byte ${i}`).toBe("OVERLAY_DAMAGED")
      expect(await codeOf(readBootRecord(folderOf(whole.subarray(0, i)).folder)), `cut at ${i}`).toBe("OVERLAY_DAMAGED")
    }
  })

  it("of a newer format, or with a feature that must be known, is refused", async () => {
    const { crc32c: _, ...body } = JSON.parse(Buffer.from(encodeBootRecord(record)).toString())
    const { crc32c } = await import("../../core/bytes.ts")
    const { canonicalBytes } = await import("../../core/log/canonical.ts")
    for (const newer of [{ format: 2 }, { features: { compatible: 0, incompatible: 1 } }]) {
      const changed = { ...body, ...newer }
      const sum = crc32c(canonicalBytes(changed)).toString(16).padStart(8, "0")
      const { folder } = folderOf(Buffer.from(JSON.stringify({ ...changed, crc32c: sum })))
      await expect(readBootRecord(folder)).rejects.toThrow("overlays/c/boot")
    }
  })

  it("has each slot once, in order", () => {
    const slot = (n: number, epoch: number) => ({ slot: n, epoch, policy: "keep", serial: 1 }) as const
    const r = [slot(2, 5), slot(1, 6), slot(2, 7)].reduce(withSlot, noBoots)
    expect(r.slots.map((s) => [s.slot, s.epoch])).toEqual([
      [1, 6],
      [2, 7],
    ])
  })
})

describe("the records of all clients", () => {
  it("are read once, and written only where something changed", async () => {
    const { folder, state } = folderOf(encodeBootRecord(record))
    const records = makeBootRecords(folder)
    await records.of("c")
    await records.change("c", (r) => r)
    expect([await records.of("c"), state.reads, state.replaced]).toEqual([record, 1, 0])
  })

  it("take changes that come together one after the other", async () => {
    const { folder, state } = folderOf()
    const records = makeBootRecords(folder)
    await Promise.all(Array.from({ length: 10 }, () => records.change("c", (r) => ({ ...r, serial: r.serial + 1 }))))
    expect([(await records.of("c"))?.serial, (await readBootRecord(folder))?.serial, state.replaced]).toEqual([
      10, 10, 10,
    ])
  })

  it("are what the disk says after a replacement failed, whether it was made or not", async () => {
    for (const [fails, serial] of [
      ["before", 3],
      ["after", 4],
    ] as const) {
      const { folder, state } = folderOf(encodeBootRecord(record))
      const records = makeBootRecords(folder)
      await records.of("c")
      state.fails = fails
      const next = () => records.change("c", (r) => ({ ...r, serial: r.serial + 1 }))
      await expect(next()).rejects.toThrow()
      // Where nothing was replaced nothing is in doubt; what was, is replaced again before anybody is told of it.
      if (fails === "before") expect(await records.of("c")).toEqual(record)
      else await expect(records.of("c")).rejects.toThrow("not synced")
      state.fails = undefined
      expect((await records.of("c"))?.serial, fails).toBe(serial)
      expect(state.replaced, fails).toBe(fails === "before" ? 0 : 3)
      await next()
      expect((await records.of("c"))?.serial, fails).toBe(serial + 1)
    }
  })
})
