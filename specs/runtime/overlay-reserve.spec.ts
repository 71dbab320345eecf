import { join } from "node:path"
import { describe, expect, it } from "vitest"
import { limits } from "../../core/limits.ts"
import { OverlayReserve, type ReserveCrossed } from "../../core/runtime/overlay-reserve.ts"
import { scratch } from "../support/cli.ts"
import { codeOf } from "../support/committing.ts"
import { rawImage } from "../support/images.ts"
import { serveHere, write } from "../support/serving.ts"

const MiB = 2 ** 20

/** A disk whose free space is set by hand, and a clock that only moves when it is told to. */
const bench = (reserveBytes: number | undefined, freeBytes: number, sizeBytes = 1000 * MiB) => {
  const disk = { freeBytes, looks: 0, known: true }
  const crossed: Array<ReserveCrossed> = []
  let waiting: Array<() => void> = []
  const reserve = new OverlayReserve({
    reserveBytes: () => reserveBytes,
    space: async () => {
      disk.looks++
      if (!disk.known) throw new Error("no such call")
      return { freeBytes: disk.freeBytes, sizeBytes }
    },
    later: (run) => {
      waiting.push(run)
      return () => {
        waiting = waiting.filter((other) => other !== run)
      }
    },
    onCrossed: (c) => void crossed.push(c),
  })
  /** A second passes, if anybody waits for it. */
  const tick = async () => {
    for (const run of waiting.splice(0)) run()
    await reserve.look()
  }
  return { disk, crossed, reserve, tick, waiting: () => waiting.length }
}

describe("the reserve", () => {
  it("begins one byte under its size, and is told once at each crossing", async () => {
    const { disk, crossed, reserve } = bench(100 * MiB, 100 * MiB)
    await reserve.look()
    expect([reserve.reserved, crossed]).toEqual([false, []])
    disk.freeBytes--
    await reserve.look()
    await reserve.look()
    expect([reserve.reserved, crossed.length]).toEqual([true, 1])
    disk.freeBytes = 106.25 * MiB - 1
    await reserve.look()
    expect([reserve.reserved, crossed.length]).toEqual([true, 1])
    disk.freeBytes = 106.25 * MiB
    await reserve.look()
    expect(reserve.reserved).toBe(false)
    expect(crossed).toEqual([
      { reserved: true, freeBytes: 100 * MiB - 1, reserveBytes: 100 * MiB },
      { reserved: false, freeBytes: 106.25 * MiB, reserveBytes: 100 * MiB },
    ])
  })

  it("is a hundredth of the disk unless it is told, and at most 1 GiB", async () => {
    for (const [sizeBytes, reserveBytes] of [
      [1000 * MiB, 10 * MiB],
      [2 ** 40, 2 ** 30],
    ] as const) {
      const { crossed, reserve } = bench(undefined, reserveBytes - 1, sizeBytes)
      await reserve.look()
      expect(crossed[0]?.reserveBytes).toBe(reserveBytes)
    }
  })

  it("of nothing never begins, and neither does one of a disk that cannot tell", async () => {
    const none = bench(0, 0)
    const unknown = bench(100 * MiB, 0)
    unknown.disk.known = false
    for (const { reserve } of [none, unknown]) {
      await reserve.look()
      expect(reserve.reserved).toBe(false)
    }
  })

  it("is looked up once for any number of writes, or after much was written", async () => {
    const { disk, reserve, tick, waiting } = bench(100 * MiB, 500 * MiB)
    for (let i = 0; i < 1000; i++) reserve.count(4096)
    expect([disk.looks, waiting()]).toEqual([0, 1])
    await tick()
    expect([disk.looks, waiting()]).toEqual([1, 0])
    reserve.count(limits.reserveLookBytes)
    expect(disk.looks).toBe(2)
    reserve.count(limits.reserveLookBytes)
    expect(disk.looks).toBe(2)
    reserve.close()
  })

  it("that is closed waits for nothing any more", () => {
    const { reserve, waiting } = bench(100 * MiB, 500 * MiB)
    reserve.count(1)
    reserve.close()
    reserve.count(1)
    expect(waiting()).toBe(0)
  })
})

it("clients are refused new space under the reserve, a super client is not, and what is written already can be written over", async () => {
  const folder = scratch("reserve")
  const image = rawImage(folder, "win11.raw", 16 * 4096, 1)
  const { disk, reserve } = bench(100 * MiB, 500 * MiB)
  const here = await serveHere(join(folder, "data"), undefined, undefined, undefined, reserve)
  await here.do("image.add", { name: "win11", path: image.path, check: false })
  for (const name of ["PC-1", "PC-2", "PC-3"]) {
    await here.do("client.add", { mac: `52:54:00:00:00:0${name.at(-1)}`, name })
    const overlay = name === "PC-2" ? "keep" : "discard"
    await here.do("client.link", { clients: [name], image: "win11", slot: 0, overlay })
  }
  await here.do("client.set-super", { client: "PC-3", image: "win11" })
  const leases = await Promise.all(["PC-1", "PC-2", "PC-3"].map((name) => here.attach(name)))
  const [discard, keep, superClient] = leases as [(typeof leases)[0], (typeof leases)[0], (typeof leases)[0]]
  const grain = Buffer.alloc(4096, 1)
  for (const lease of leases) await write(lease, 0, grain)
  disk.freeBytes = 1
  await reserve.look()
  for (const lease of [discard, keep]) {
    expect(await codeOf(write(lease, 4096, grain))).toBe("NO_SPACE")
    expect(await codeOf(write(lease, 3 * 4096 + 512, grain))).toBe("NO_SPACE")
    expect(await codeOf(write(lease, 0, grain))).toBe("accepted")
    expect(await codeOf(lease.device.flush())).toBe("accepted")
  }
  expect(await codeOf(write(superClient, 4096, grain))).toBe("accepted")
  disk.freeBytes = 500 * MiB
  await reserve.look()
  expect(await codeOf(write(discard, 4096, grain))).toBe("accepted")
  await Promise.all(leases.map((lease) => lease.release()))
  reserve.close()
  await here.close()
})
