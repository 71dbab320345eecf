/** qemu's NBD client against our server. */
import { readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { afterEach, describe, expect, it } from "vitest"
import { noise, run, startNbd } from "../support/nbd-server.ts"
import { requires } from "../support/requires.ts"

const qemu = requires("qemu-img", "qemu-utils")
const MiB = 1024 * 1024
const stops: Array<() => Promise<void>> = []
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop()
})
const start = async (sizeBytes = 8 * MiB, missRate = 0) => {
  const s = await startNbd({ sizeBytes, missRate })
  stops.push(s.stop)
  return s
}
const io = (uri: string, ...commands: ReadonlyArray<string>): Promise<string> =>
  run("qemu-io", "-f", "raw", ...commands.flatMap((c) => ["-c", c]), uri)

describe.skipIf(qemu.skip)("qemu-img", () => {
  it("info sees a raw disk of its size", async () => {
    const s = await start()
    const info = JSON.parse(await run("qemu-img", "info", "--output=json", s.uri))
    expect([info.format, info["virtual-size"]]).toEqual(["raw", 8 * MiB])
  })
  it("map sees data where data are, and zeros elsewhere", async () => {
    const s = await start()
    s.device.put(MiB, noise(65_536, 1))
    const map = JSON.parse(await run("qemu-img", "map", "--output=json", s.uri))
    expect(
      map.map((e: { start: number; length: number; data: boolean; zero: boolean }) => [
        e.start,
        e.length,
        e.data,
        e.zero,
      ]),
    ).toEqual([
      [0, MiB, false, true],
      [MiB, 65_536, true, false],
      [MiB + 65_536, 7 * MiB - 65_536, false, true],
    ])
  })
  it.each([0, 0.4])("convert copies in and out, and compare agrees (miss rate %d)", async (missRate) => {
    const s = await start(8 * MiB, missRate)
    const bytes = Buffer.concat([noise(3 * MiB, 2), Buffer.alloc(2 * MiB), noise(3 * MiB, 3)])
    const [from, to] = [join(s.folder, "in.raw"), join(s.folder, "out.qcow2")]
    await writeFile(from, bytes)
    await run("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", from, s.uri)
    expect(s.device.bytes.equals(bytes)).toBe(true)
    expect(await run("qemu-img", "compare", "-f", "raw", "-F", "raw", from, s.uri)).toContain("Images are identical")
    await run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", s.uri, to)
    expect(await run("qemu-img", "compare", "-f", "raw", "-F", "qcow2", from, to)).toContain("Images are identical")
    s.device.bytes[5 * MiB + 7]! ^= 1
    await expect(run("qemu-img", "compare", "-f", "raw", "-F", "raw", from, s.uri)).rejects.toThrow(
      "Content mismatch at offset 5242880",
    )
  })
  it("copies a version out with as many requests at once as it likes", async () => {
    const s = await start(32 * MiB, 0.2)
    s.image.put(0, noise(32 * MiB, 4))
    const to = join(s.folder, "out.raw")
    await run("qemu-img", "convert", "-m", "16", "-W", "-f", "raw", "-O", "raw", s.imageUri, to)
    expect((await readFile(to)).equals(s.image.bytes)).toBe(true)
  })
  it("says what is wrong with an export that is not there", async () => {
    const s = await start()
    const missing = s.uri.replace("PC-001", "PC-002")
    await expect(run("qemu-img", "info", missing)).rejects.toThrow("there is no client PC-002")
  })
})

describe.skipIf(qemu.skip)("qemu-io", () => {
  it.each([0, 1])("writes, reads back, zeroes and discards (miss rate %d)", async (missRate) => {
    const s = await start(8 * MiB, missRate)
    await io(
      s.uri,
      "write -P 0x11 0 1M",
      "write -f -P 0x22 512 512",
      "read -P 0x11 0 512",
      "read -P 0x22 512 512",
      "read -P 0x11 1024 64k",
      "write -z 64k 64k",
      "write -z -u 128k 64k",
      "read -P 0 64k 128k",
      "read -P 0x11 192k 64k",
      "flush",
      "discard 256k 64k",
      "read -P 0 256k 64k",
      "write -P 0x33 8388096 512",
      "read -P 0x33 8388096 512",
    )
    const expected = Buffer.alloc(8 * MiB)
    expected
      .fill(0x11, 0, MiB)
      .fill(0x22, 512, 1024)
      .fill(0, 65_536, 196_608)
      .fill(0, 262_144, 327_680)
      .fill(0x33, 8 * MiB - 512)
    expect(s.device.bytes.equals(expected)).toBe(true)
  })
  it("its FUA, no-hole, trim and flush reach the disk", async () => {
    const s = await start()
    s.device.recording = true
    await io(s.uri, "write -f -P 1 0 4k", "write -z 4k 4k", "write -z -u 8k 4k", "discard 12k 4k", "flush")
    const { device } = s
    expect(
      device.calls.filter((c) => c.op !== "read" && c.op !== "flush").map((c) => [c.op, c.offset, c.length]),
    ).toEqual([
      ["write", 0, 4096],
      ["zero", 4096, 4096],
      ["zero", 8192, 4096],
      ["trim", 12_288, 4096],
    ])
    // FUA = 1, MAY_UNMAP = 2. qemu's default write-back cache turns FUA on for plain `write -z` as well.
    expect(device.calls.find((c) => c.op === "write")!.flags & 1).toBe(1)
    expect(device.calls.filter((c) => c.op === "zero").map((c) => c.flags & 2)).toEqual([0, 2])
    expect(device.calls.some((c) => c.op === "flush")).toBe(true)
  })
  it("many requests at once, of odd sizes", async () => {
    const s = await start(8 * MiB, 0.5)
    const commands = Array.from({ length: 40 }, (_, i) => `aio_write -P ${i + 1} ${i * 131_072} ${512 * (i + 1)}`)
    await io(s.uri, ...commands, "aio_flush")
    const expected = Buffer.alloc(8 * MiB)
    for (let i = 0; i < 40; i++) expected.fill(i + 1, i * 131_072, i * 131_072 + 512 * (i + 1))
    expect(s.device.bytes.equals(expected)).toBe(true)
  })
  it("may not write to a version", async () => {
    const s = await start()
    await expect(io(s.imageUri, "write 0 512")).rejects.toThrow("Permission denied")
  })
})
