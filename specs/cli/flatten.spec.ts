/** `image flatten` on the command line, while clients read and write over the version and over one that was made on it. */
import { readdirSync } from "node:fs"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { connectNbd } from "../../adapters/nbd/client.ts"
import type { ImageShown } from "../../core/runtime/site/images.ts"
import type { Changed } from "../../core/runtime/site/operation.ts"
import { events, imagelink, json, refusal, type Served, scratch, startServe } from "../support/cli.ts"
import { checked, layersOf } from "../support/committing.ts"
import { rawImage } from "../support/images.ts"
import { noise } from "../support/nbd-server.ts"
import { serveHere, write } from "../support/serving.ts"

const MiB = 2 ** 20
const SIZE = 16 * MiB
const VERSIONS = 5
const folder = scratch("flatten-cli")
const data = join(folder, "data")
const bytes: Array<Buffer> = []
let layers = ""
let server: Served

const connect = (name: string) => connectNbd({ host: "127.0.0.1", port: server.nbdPort, export: name })
const shown = async () => (await json<ImageShown>(["image", "show", "win11"], { data })).image.versions

beforeAll(async () => {
  const base = rawImage(folder, "win11.raw", SIZE)
  bytes.push(base.bytes)
  const here = await serveHere(data)
  await here.do("image.add", { name: "win11", path: base.path, check: true })
  for (let n = 1; n <= 3; n++) {
    await here.do("client.add", { mac: `52:54:00:00:00:0${n}`, name: `PC-${n}` })
    await here.do("client.link", { clients: [`PC-${n}`], image: n === 3 ? "win11@1" : "win11", slot: 0 })
  }
  for (let n = 2; n <= VERSIONS; n++) {
    await here.do("client.set-super", { client: "PC-1", image: "win11" })
    const lease = await here.attach("PC-1")
    const now = Buffer.from(bytes.at(-1)!)
    for (let i = 0; i < 100; i++) {
      const offset = ((i * 37 + n * 11) % (SIZE / 4096)) * 4096
      const fresh = noise(4096, n * 1000 + i)
      await write(lease, offset, Buffer.from(fresh))
      now.set(fresh, offset)
    }
    await lease.release()
    await here.do("image.commit", { name: "win11" })
    await checked(here, "win11", n)
    bytes.push(now)
  }
  layers = await layersOf(here, data, "win11")
  await here.do("client.link", { clients: ["PC-3"], image: "win11@4", slot: 0 })
  await here.close()
  server = await startServe(data)
}, 60_000)
afterAll(() => server?.stop())

describe("flattening", () => {
  it("says first what it would do, and does nothing", async () => {
    const dry = await json<Changed>(["image", "flatten", "win11@4", "--dry-run"], { data })
    expect([dry.dryRun, dry.events[0]!.type]).toEqual([true, "ImageVersionFlattened"])
    expect((await shown()).map((v) => v.over)).toEqual([null, 1, 2, 3, 4])
    expect(readdirSync(layers).some((name) => name.includes("over"))).toBe(false)
  })

  it("is refused by name where there is nothing to merge, or no such version", async () => {
    for (const [reference, code] of [
      ["win11@1", "FLATTEN_NOTHING"],
      ["win11@2", "FLATTEN_NOTHING"],
      ["win11@6", "IMAGE_VERSION_NOT_FOUND"],
      ["win12", "IMAGE_NOT_FOUND"],
      ["win11@x", "USAGE"],
    ] as const)
      expect(refusal(await imagelink(["image", "flatten", reference, "--json"], { data })).code, reference).toBe(code)
  })

  it("goes on under clients of the version and of its child, which read and write without an error", async () => {
    const onFour = await connect("client/PC-3/0")
    const onFive = await connect("client/PC-2/0")
    const mine = noise(8192, 9)
    let rounds = 0
    let done = false
    const use = async (disk: typeof onFour, expected: Buffer) => {
      while (!done || rounds < 2) {
        await disk.write(MiB, mine)
        for (let offset = 0; offset < SIZE; offset += MiB) {
          const read = Buffer.from(await disk.read(offset, MiB))
          const want = Buffer.from(expected.subarray(offset, offset + MiB))
          if (offset === MiB) want.set(mine, 0)
          expect(read.equals(want), `byte ${offset}`).toBe(true)
        }
        rounds++
      }
    }
    const using = Promise.all([use(onFour, bytes[3]!), use(onFive, bytes[4]!)])
    const flattened = await json<Changed>(["image", "flatten", "win11@4"], { data }).finally(() => {
      done = true
    })
    expect(flattened.events).toMatchObject([{ type: "ImageVersionFlattened", data: { version: 4, over: 1 } }])
    await using
    // new disks read the new file, with the overlays that they had
    await onFour.disconnect()
    await onFive.disconnect()
    for (const [name, expected] of [
      ["image/win11@4", bytes[3]!],
      ["image/win11@5", bytes[4]!],
    ] as const) {
      const disk = await connect(name)
      expect(Buffer.from(await disk.read(0, SIZE)).equals(expected), name).toBe(true)
      await disk.disconnect()
    }
  }, 60_000)

  it("is shown, and in the history", async () => {
    const { stdout } = await imagelink(["image", "show", "win11"], { data })
    expect(stdout).toMatch(/@4 +@3 .* over @1/)
    expect(stdout).toMatch(/@4 .* verified \d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ /)
    const history = await imagelink(["history", "--image", "win11"], { data })
    expect(history.stdout).toMatch(/cli:\S+ +version flattened +win11 +win11@4 over @3 +over @1/)
    expect((await events(data)).filter((e) => e.type === "ImageVersionFlattened")).toHaveLength(1)
  })

  it("frees what was merged, and says what it took", async () => {
    for (const version of [3, 2]) await json(["image", "retire", `win11@${version}`], { data })
    const said = await imagelink(["image", "flatten", "win11"], { data })
    expect([said.status, said.stdout]).toEqual([
      0,
      expect.stringMatching(/: win11@5 over @4 → over @1\n[0-9.]+ MiB of data, 0 B made zero, in one file\n$/),
    ])
    expect((await shown()).map((v) => [v.over, v.retired])).toEqual([
      [null, false],
      [1, true],
      [2, true],
      [1, false],
      [1, false],
    ])
    const diff = await imagelink(["image", "diff", "win11@1", "win11@4"], { data })
    expect([diff.status, diff.stdout.includes("told by their checksums")]).toEqual([0, true])
    const check = await imagelink(["image", "check", "win11"], { data })
    expect([check.status, check.stdout]).toEqual([0, "win11@5 verified: 256 clusters of 64 KiB match\n"])
  })
})
