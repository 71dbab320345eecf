/** Holes of real files, told by the kernel, as extents. */
import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, describe, expect, it } from "vitest"
import { linuxHost } from "../../adapters/host/linux.ts"
import { computeChecksums } from "../../core/block/checksums.ts"
import { limits } from "../../core/limits.ts"
import { openImage } from "../../plugins/file/image.ts"

const MiB = 2 ** 20
const TiB = 2 ** 40
const dir = mkdtempSync(join(tmpdir(), "imagelink-holes-"))
afterAll(() => rmSync(dir, { recursive: true, force: true }))
const signal = new AbortController().signal

const sparse = (name: string, sizeBytes: number, data: ReadonlyArray<number>): string => {
  const path = join(dir, name)
  const fd = openSync(path, "w")
  ftruncateSync(fd, sizeBytes)
  for (const at of data) writeSync(fd, Buffer.alloc(65_536, 1), 0, 65_536, at)
  closeSync(fd)
  return path
}

describe.skipIf(process.platform !== "linux")("holes of an image", () => {
  it("are zero extents between its data", async () => {
    const volume = await openImage(sparse("two", 4 * MiB, [MiB, 3 * MiB]), linuxHost(), signal)
    expect(await volume.extents!(0, 4 * MiB, 100)).toEqual([
      { offset: 0, length: MiB, kind: "zero" },
      { offset: MiB, length: 65_536, kind: "data" },
      { offset: MiB + 65_536, length: 2 * MiB - 65_536, kind: "zero" },
      { offset: 3 * MiB, length: 65_536, kind: "data" },
      { offset: 3 * MiB + 65_536, length: MiB - 65_536, kind: "zero" },
    ])
    expect(await volume.extents!(MiB + 512, 1024, 100)).toEqual([{ offset: MiB + 512, length: 1024, kind: "data" }])
    await volume.close()
  })

  it("are told for at most as many runs as one answer may have", async () => {
    const places = Array.from({ length: 600 }, (_, i) => i * 131_072)
    const volume = await openImage(sparse("many", 600 * 131_072, places), linuxHost(), signal)
    const all = await volume.extents!(0, volume.sizeBytes, 1e6)
    expect(all.length).toBe(limits.formatExtentLookupsMax)
    expect(all.at(-1)!.offset + all.at(-1)!.length).toBeLessThan(volume.sizeBytes)
    await volume.close()
  })

  it("are not read by the first check: 4 TiB with nothing but an end take as long as their table", async () => {
    const volume = await openImage(sparse("huge", 4 * TiB, [4 * TiB - 65_536]), linuxHost(), signal)
    let read = 0
    const counting = {
      sizeBytes: volume.sizeBytes,
      extents: volume.extents!,
      read: (into: Uint8Array, at: number, offset: number, length: number) => {
        read += length
        return volume.read(into, at, offset, length)
      },
    }
    const table = await computeChecksums(counting, { signal, onProgress: () => {} })
    expect(read).toBe(65_536)
    expect(table[0]).toBe(table.at(-2))
    expect(table.at(-1)).not.toBe(table[0])
    await volume.close()
  })
})
