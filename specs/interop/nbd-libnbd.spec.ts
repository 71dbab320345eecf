/** libnbd's tools against our server. */
import { readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { afterEach, describe, expect, it } from "vitest"
import { clientExport, imageExport, noise, run, startNbd } from "../support/nbd-server.ts"
import { requires } from "../support/requires.ts"

const nbdinfo = requires("nbdinfo", "libnbd-bin")
const nbdcopy = requires("nbdcopy", "libnbd-bin")
const nbdClient = requires("nbd-client", "nbd-client")
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

describe.skipIf(nbdinfo.skip)("nbdinfo", () => {
  it("sees what a client's disk can do", async () => {
    const s = await start()
    const info = JSON.parse(await run("nbdinfo", "--json", s.uri))
    expect([info.protocol, info.TLS, info.structured]).toEqual(["newstyle-fixed", false, true])
    expect(info.exports[0]).toMatchObject({
      "export-name": clientExport,
      description: "PC-001 slot 0",
      "export-size": 8 * MiB,
      contexts: ["base:allocation"],
      is_rotational: false,
      is_read_only: false,
      can_cache: true,
      can_df: true,
      can_fast_zero: true,
      can_flush: true,
      can_fua: true,
      can_multi_conn: true,
      can_trim: true,
      can_zero: true,
      block_size_minimum: 512,
      block_size_preferred: 4096,
      block_size_maximum: 33_554_432,
    })
  })
  it("lists the exports, with what each can do", async () => {
    const s = await start()
    const list = JSON.parse(await run("nbdinfo", "--list", "--json", s.uri.replace(`/${clientExport}`, "")))
    expect(list.exports.map((e: Record<string, unknown>) => [e["export-name"], e.is_read_only, e.can_trim])).toEqual([
      [clientExport, false, true],
      [imageExport, true, false],
    ])
  })
  it("maps data and holes", async () => {
    const s = await start()
    s.device.put(MiB, noise(65_536, 1))
    const map = JSON.parse(await run("nbdinfo", "--map", "--json", s.uri))
    expect(map.map((e: { offset: number; length: number; type: number }) => [e.offset, e.length, e.type])).toEqual([
      [0, MiB, 3],
      [MiB, 65_536, 0],
      [MiB + 65_536, 7 * MiB - 65_536, 3],
    ])
  })
  it("maps a disk of more runs than one reply may hold", async () => {
    const s = await start(80 * MiB)
    for (let at = 0; at < 80 * MiB; at += 8192) s.device.put(at, Buffer.alloc(1, 1))
    const map = JSON.parse(await run("nbdinfo", "--map", "--json", s.uri))
    expect([map.length, map[0].length, map[1].type]).toEqual([20_480, 4096, 3])
  })
})

describe.skipIf(nbdcopy.skip)("nbdcopy", () => {
  it.each([0, 0.4])("copies in and out over several connections (miss rate %d)", async (missRate) => {
    const s = await start(16 * MiB, missRate)
    const bytes = Buffer.concat([noise(5 * MiB, 5), Buffer.alloc(6 * MiB), noise(5 * MiB, 6)])
    const [from, to] = [join(s.folder, "in.raw"), join(s.folder, "out.raw")]
    await writeFile(from, bytes)
    s.device.bytes.fill(0xee)
    await run("nbdcopy", "--flush", from, s.uri)
    expect(s.device.bytes.equals(bytes)).toBe(true)
    await run("nbdcopy", "--connections=4", s.uri, to)
    expect((await readFile(to)).equals(bytes)).toBe(true)
  })
  it("copies one export to another server's", async () => {
    const [a, b] = [await start(), await start()]
    a.image.put(0, noise(8 * MiB, 7))
    await run("nbdcopy", a.imageUri, b.uri)
    expect(b.device.bytes.equals(a.image.bytes)).toBe(true)
  })
})

describe.skipIf(nbdClient.skip)("nbd-client", () => {
  it("lists the exports", async () => {
    const s = await start()
    const list = await run("nbd-client", "-l", "127.0.0.1", String(s.server.port))
    expect(list.split("\n").filter((l) => l.includes("/"))).toEqual([
      `${clientExport}: PC-001 slot 0`,
      `${imageExport}: win11 version 1`,
    ])
  })
})
