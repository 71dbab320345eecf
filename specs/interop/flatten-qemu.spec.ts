/** What was flattened reads the same to qemu, and so does a layer that was sealed over it before: neither its name nor its format changed. */
import { readFileSync } from "node:fs"
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { scratch } from "../support/cli.ts"
import { checked, codeOf, imageOf, layersOf, until } from "../support/committing.ts"
import { rawImage } from "../support/images.ts"
import { noise, run } from "../support/nbd-server.ts"
import { random } from "../support/random.ts"
import { requires } from "../support/requires.ts"
import { type ServingSite, serveHere, write, zero } from "../support/serving.ts"

const KiB = 1024
const VERSIONS = 5
/** Not whole grains. */
const SIZE = 6 * KiB * KiB + 3 * 512
const qemu = requires("qemu-img", "qemu-utils")

describe.skipIf(qemu.skip).each(["raw", "qcow2"])("over an image that was added as %s", (format) => {
  const folder = scratch(`flatten-${format}`)
  const data = join(folder, "data")
  const bytes: Array<Buffer> = []
  let here: ServingSite
  let layers = ""

  const tool = (...args: ReadonlyArray<string>) => run("env", "-C", layers, "qemu-img", ...args)

  const commit = async (n: number) => {
    const after = Buffer.from(bytes.at(-1)!)
    await here.do("client.set-super", { client: "PC-001", image: "win11" })
    const lease = await here.attach("PC-001")
    const dice = random(n)
    for (let i = 0; i < 12; i++) {
      const offset = dice.int(SIZE / 512 - 1) * 512
      const length = Math.min(SIZE - offset, (1 + dice.int(40)) * 512)
      const fresh = i % 3 === 0 ? Buffer.alloc(length) : Buffer.from(noise(length, n * 100 + i))
      if (i % 3 === 0) await zero(lease, offset, length)
      else await write(lease, offset, fresh)
      fresh.copy(after, offset)
    }
    await lease.release()
    await here.do("image.commit", { name: "win11" })
    await checked(here, "win11", n)
    bytes.push(after)
  }

  /** By qemu alone, from the folder of the layers, and from another one. */
  const expectRead = async (n: number) => {
    const name = `v${n}.qcow2`
    expect(await tool("check", "-f", "qcow2", name), name).toContain("No errors were found on the image.")
    const out = join(folder, `copy${n}.raw`)
    await tool("convert", "-O", "raw", name, out)
    expect((await readFile(out)).equals(bytes[n - 1]!), name).toBe(true)
    expect(await tool("compare", "-f", "raw", "-F", "qcow2", out, name), name).toContain("identical")
  }

  beforeAll(async () => {
    const base = rawImage(folder, "base.raw", SIZE)
    const path = format === "raw" ? base.path : join(folder, "base.qcow2")
    if (format === "qcow2") await run("qemu-img", "convert", "-c", "-O", "qcow2", base.path, path)
    bytes.push(readFileSync(base.path))
    here = await serveHere(data)
    await here.do("image.add", { name: "win11", path, check: true })
    await here.do("client.add", { mac: "52:54:00:00:00:01" })
    await here.do("client.link", { clients: ["PC-001"], image: "win11", slot: 0 })
    for (let n = 2; n <= VERSIONS; n++) await commit(n)
    layers = await layersOf(here, data, "win11")
    await here.do("image.flatten", { name: "win11", version: 4 })
    await until(async () => (await codeOf(readFile(join(layers, "v4.data")))) === "ENOENT")
  }, 120_000)
  afterAll(() => here.close())

  it("the flattened version is sound, and has the bytes that it had", () => expectRead(4))

  it("so has the version that was sealed over it before", () => expectRead(5))

  it("so have those that were merged into it", async () => {
    await expectRead(2)
    await expectRead(3)
  })

  it("its file is found from anywhere, for it has its bytes in it", async () => {
    const out = join(folder, "elsewhere.raw")
    await run("qemu-img", "convert", "-O", "raw", join(layers, "v4-over-1.qcow2"), out)
    expect((await readFile(out)).equals(bytes[3]!)).toBe(true)
    const info = JSON.parse(await tool("info", "--output=json", "v4.qcow2"))
    expect([info["virtual-size"], info["cluster-size"], info["dirty-flag"]]).toEqual([SIZE, 128 * KiB, false])
    expect(info["backing-filename"]).toMatch(/^parents\/[0-9a-f-]{36}-v1\//)
    expect(info["format-specific"].data).toMatchObject({ "extended-l2": true, corrupt: false })
  })

  it("a version that is committed over it afterwards is sound too", async () => {
    await commit(6)
    await expectRead(6)
  })

  it("and the newest, flattened whole, stands alone", async () => {
    await here.do("image.flatten", { name: "win11", whole: true })
    await expectRead(6)
    const info = JSON.parse(await tool("info", "--output=json", "v6.qcow2"))
    expect(info["backing-filename"]).toBe(undefined)
    expect((await imageOf(here, "win11")).versions[5]).toMatchObject({ parent: 5, over: null })
    expect((await here.do("image.check", { name: "win11", version: 6 })).result).toBe("verified")
  })
})
