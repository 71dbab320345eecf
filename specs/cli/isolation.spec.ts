/** What one client writes nobody else sees, and the image file itself stays as it was; an image that changed is served to nobody new. */
import { createHash } from "node:crypto"
import { mkdirSync, readFileSync, renameSync, rmSync, statSync, symlinkSync, utimesSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { type RunningServer, startServer } from "../../adapters/compose-server.ts"
import { connectNbd, type NbdClient } from "../../adapters/nbd/client.ts"
import type { Actor } from "../../core/log/event-log.ts"
import { effectiveConfig } from "../../core/runtime/config.ts"
import { scratch } from "../support/cli.ts"
import { rawImage } from "../support/images.ts"

const folder = scratch("isolation")
const actor: Actor = { kind: "cli", name: "operator" }
const size = 512 * 1024
const image = rawImage(folder, "win11.raw", size)
let server: RunningServer

const fingerprint = (path: string) => {
  const { size: bytes, mtimeNs, ino } = statSync(path, { bigint: true })
  return [bytes, mtimeNs, ino, createHash("sha256").update(readFileSync(path)).digest("hex")]
}
const open = (name: string): Promise<NbdClient> => {
  const [host = "", port] = server.listeners.nbd!.split(":")
  return connectNbd({ host, port: Number(port), export: name })
}
const client = async (name: string, n: number, imageName: string, overlay: "discard" | "keep" = "discard") => {
  await server.site.call("client.add", { mac: `52:54:00:00:00:${n.toString(16).padStart(2, "0")}`, name }, { actor })
  await server.site.call("client.link", { clients: [name], image: imageName, slot: 0, overlay }, { actor })
}
const add = (name: string, path: string, check = true) =>
  server.site.call("image.add", { name, path, check }, { actor })

beforeAll(async () => {
  const config = effectiveConfig([{ from: "the spec", settings: { "nbd-port": 0 } }])
  server = await startServer({ dataDir: join(folder, "data"), config, onEvent: () => {} })
  await add("win11", image.path)
  for (let n = 1; n <= 8; n++) await client(`PC-${n}`, n, "win11", n % 2 === 0 ? "keep" : "discard")
})
afterAll(() => server.close())

describe("eight clients on one image", () => {
  it("each see the image with their own writes, and no one else's, at any offset and length", async () => {
    const before = fingerprint(image.path)
    const disks = await Promise.all(Array.from({ length: 8 }, (_, i) => open(`client/PC-${i + 1}/0`)))
    const expected = disks.map(() => Buffer.from(image.bytes))
    const places = [0, 512, 4095, 4096, 65_535, 65_536, 131_071, size - 1, size - 4096]
    await Promise.all(
      disks.map(async (disk, i) => {
        for (const [n, at] of places.entries()) {
          const bytes = Buffer.alloc(Math.min(1 + ((i * 977 + n * 3001) % 9000), size - at), 65 + i)
          await disk.write(at, bytes)
          expected[i]!.set(bytes, at)
        }
        await disk.zero(200_000 + i * 4096, 8192)
        expected[i]!.fill(0, 200_000 + i * 4096, 208_192 + i * 4096)
        await disk.flush()
      }),
    )
    for (const [i, disk] of disks.entries())
      expect((await disk.read(0, size)).equals(expected[i]!), `PC-${i + 1}`).toBe(true)
    const version = await open("image/win11@1")
    expect((await version.read(0, size)).equals(image.bytes)).toBe(true)
    await Promise.all([version, ...disks].map((disk) => disk.disconnect()))
    expect(fingerprint(image.path)).toEqual(before)
  })

  it("share one disk between two sessions of one client", async () => {
    const [first, second] = [await open("client/PC-1/0"), await open("client/pc-1/0")]
    await first.write(300_000, Buffer.from("seen at once"))
    expect((await second.read(300_000, 12)).toString()).toBe("seen at once")
    await Promise.all([first.disconnect(), second.disconnect()])
  })
})

describe("an image file under a running server", () => {
  let n = 100
  /** An image of its own with two clients on it, the first of them connected. */
  const stand = async (name: string, check: boolean) => {
    const disk = rawImage(folder, `${name}.raw`, size, n)
    await add(name, disk.path, check)
    await client(`${name}-a`, n++, name)
    await client(`${name}-b`, n++, name)
    return { ...disk, running: await open(`client/${name}-a/0`) }
  }

  it("that was moved away refuses new sessions by its path, and the running one goes on", async () => {
    const { path, bytes, running } = await stand("moved", true)
    renameSync(path, `${path}.away`)
    await expect(open("client/moved-b/0")).rejects.toThrow(`the file ${path} is not there`)
    await expect(open("image/moved")).rejects.toThrow(/is not there/)
    expect((await running.read(0, size)).equals(bytes)).toBe(true)
    await running.write(0, Buffer.alloc(4096, 1))
    await running.disconnect()
  })

  it("that was replaced refuses new sessions, and the running one reads the old bytes", async () => {
    const { path, bytes, running } = await stand("replaced", true)
    writeFileSync(`${path}.new`, rawImage(folder, "other.raw", size, 999).bytes)
    renameSync(`${path}.new`, path)
    await expect(open("client/replaced-b/0")).rejects.toThrow(/was changed after it was added \(.*inode/)
    expect((await running.read(0, size)).equals(bytes)).toBe(true)
    await running.disconnect()
    await expect(open("client/replaced-a/0")).rejects.toThrow(/was changed/)
  })

  it("that was written to refuses new sessions, and the running one never reads what does not match its checksum", async () => {
    const { path, bytes, running } = await stand("written", true)
    await running.read(0, 65_536)
    const changed = Buffer.from(bytes)
    changed.fill(0xee, 131_072, 131_072 + 512)
    writeFileSync(path, changed)
    await expect(open("client/written-b/0")).rejects.toThrow(/was changed after it was added/)
    expect((await running.read(0, 131_072)).equals(bytes.subarray(0, 131_072))).toBe(true)
    await expect(running.read(131_072, 512)).rejects.toMatchObject({ code: "EIO" })
    expect((await running.read(196_608, 512)).equals(bytes.subarray(196_608, 197_120))).toBe(true)
    await running.disconnect()
  })

  it("that was only touched refuses new sessions", async () => {
    const { path, running } = await stand("touched", true)
    utimesSync(path, 1, 1)
    await expect(open("client/touched-b/0")).rejects.toThrow(/mtimeNs/)
    await running.disconnect()
  })

  it("that was cut short refuses new sessions, and fails reads past its end instead of inventing bytes", async () => {
    const { path, running } = await stand("cut", false)
    writeFileSync(path, Buffer.alloc(4096))
    await expect(open("client/cut-b/0")).rejects.toThrow(/was changed/)
    await expect(running.read(size - 4096, 4096)).rejects.toThrow()
    await running.disconnect()
  })

  it("that was another one when it was first asked for is served as recorded once it is back", async () => {
    const [disk, decoy, place] = [join(folder, "disk"), join(folder, "decoy"), join(folder, "place")]
    for (const dir of [disk, decoy]) mkdirSync(dir)
    const { bytes } = rawImage(disk, "a.raw", size, 8)
    rawImage(decoy, "a.raw", size, 9)
    const mount = (dir: string) => {
      rmSync(place, { force: true })
      symlinkSync(dir, place)
    }
    mount(disk)
    await add("mounted", join(place, "a.raw"), false)
    await client("mounted-a", n++, "mounted")
    mount(decoy)
    await expect(open("client/mounted-a/0")).rejects.toThrow(/was changed/)
    mount(disk)
    const back = await open("client/mounted-a/0")
    expect((await back.read(0, size)).equals(bytes)).toBe(true)
    await back.disconnect()
  })
})
