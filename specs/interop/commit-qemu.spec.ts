/**
 * An operator's week over real NBD sessions: twenty clients, one becomes super, its change is committed, half of them get it, and it is taken back.
 *
 * **Details** The change is one to an ext4 file system where e2fsprogs is installed. Every version's file is compared by qemu with what is served of it.
 */
import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { connectSite } from "../../adapters/api/client.ts"
import { connectNbd } from "../../adapters/nbd/client.ts"
import { events, imagelink, type LoggedEvent, refusal, type Served, scratch, startServe } from "../support/cli.ts"
import { noise, run } from "../support/nbd-server.ts"
import { requires } from "../support/requires.ts"

const MiB = 2 ** 20
const SIZE = 4 * MiB
const BLOCK = 4096
const CLIENTS = 20
const image = "win11"
const pc = (n: number) => `PC-${String(n).padStart(3, "0")}`
const numbers = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i)

const qemu = requires("qemu-img", "qemu-utils")
const nbdcopy = requires("nbdcopy", "libnbd-bin")
const mke2fs = requires("mke2fs", "e2fsprogs")
const debugfs = requires("debugfs", "e2fsprogs")
const hasExt4 = !mke2fs.skip && !debugfs.skip

describe.skipIf(qemu.skip || nbdcopy.skip).each(["raw", "qcow2"])("an image that is added as %s", (format) => {
  const folder = scratch(`commit-${format}`)
  const data = join(folder, "data")
  const at = (name: string) => join(folder, name)
  let server: Served
  const bytes: Array<Buffer> = []

  const uri = (name: string) => `nbd://127.0.0.1:${server.nbdPort}/${name}`
  const ok = async (...args: ReadonlyArray<string>): Promise<string> => {
    const { status, stdout, stderr } = await imagelink(args, { data })
    expect([status, stderr.includes("error") && stderr], args.join(" ")).toEqual([0, false])
    return stdout
  }
  const connect = (name: string) => connectNbd({ host: "127.0.0.1", port: server.nbdPort, export: name })
  const connectClient = (n: number) => connect(`client/${pc(n)}/0`)
  const read = async (name: string): Promise<Buffer> => {
    const disk = await connect(name)
    try {
      return Buffer.from(await disk.read(0, SIZE))
    } finally {
      await disk.disconnect()
    }
  }
  /** Numbers of the clients whose disk is this version, each in a session of its own. */
  const clientsOn = async (expected: Buffer): Promise<ReadonlyArray<number>> => {
    const found: Array<number> = []
    for (const n of numbers(1, CLIENTS)) if ((await read(`client/${pc(n)}/0`)).equals(expected)) found.push(n)
    return found
  }
  /** A session that has just said goodbye may be a moment from gone. */
  const reset = async (from: number, to: number) => {
    const args = ["client", "reset", ...numbers(from, to).map(pc), "--json"]
    for (let tries = 0; ; tries++) {
      const ran = await imagelink(args, { data })
      if (ran.status === 0) return
      expect([refusal(ran).code, tries < 50]).toEqual(["OVERLAY_IN_USE", true])
    }
  }

  const makeDisk = async () => {
    writeFileSync(at("base.raw"), noise(SIZE, 1))
    if (hasExt4) {
      mkdirSync(at("files"))
      writeFileSync(at("files/motd"), "the first version\n")
      writeFileSync(at("files/large"), noise(MiB / 2, 2))
      writeFileSync(at("base.raw"), Buffer.alloc(SIZE))
      await run("mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-d", at("files"), at("base.raw"))
    }
    bytes.push(readFileSync(at("base.raw")))
    if (format === "qcow2") await run("qemu-img", "convert", "-c", "-O", "qcow2", at("base.raw"), at("base.qcow2"))
  }

  /** What a client would have done to its disk by version `version`. */
  const changed = async (before: Buffer, version: number): Promise<Buffer> => {
    const work = at(`work${version}.raw`)
    writeFileSync(work, before)
    if (!hasExt4) {
      const patterns = [`write -P ${version} 1M 300k`, "write -z 3M 64k", `write -P ${version} 4193792 512`]
      await run("qemu-io", "-f", "raw", ...patterns.flatMap((c) => ["-c", c]), work)
      return readFile(work)
    }
    writeFileSync(at("motd"), `version ${version}\n`)
    writeFileSync(at("more"), noise(200_000, 10 + version))
    for (const command of ["rm /motd", `write ${at("motd")} /motd`, `write ${at("more")} /more${version}`])
      await run("debugfs", "-w", "-R", command, work)
    await run("e2fsck", "-f", "-n", work)
    return readFile(work)
  }

  /** Writes what differs, block by block, as a file system does. */
  const writeAs = async (n: number, before: Buffer, after: Buffer): Promise<void> => {
    const disk = await connectClient(n)
    for (let offset = 0; offset < SIZE; offset += BLOCK) {
      const block = after.subarray(offset, offset + BLOCK)
      if (block.equals(before.subarray(offset, offset + BLOCK))) continue
      if (block.every((byte) => byte === 0)) await disk.zero(offset, BLOCK)
      else await disk.write(offset, block)
    }
    expect(Buffer.from(await disk.read(0, SIZE)).equals(after)).toBe(true)
    await disk.disconnect()
  }

  const expectServed = async (version: number) => {
    const out = at(`copy${version}.raw`)
    await run("nbdcopy", uri(`image/${image}@${version}`), out)
    expect((await readFile(out)).equals(bytes[version - 1]!), `version ${version}`).toBe(true)
    if (version === 1) return
    const logged = (await events(data)).find((e) => e.type === "ImageCommitted" && e.data.version === version)!
    const { id } = logged.data.image as { readonly id: string }
    const tool = (...args: ReadonlyArray<string>) => run("env", "-C", join(data, "layers", id), "qemu-img", ...args)
    expect(await tool("check", "-f", "qcow2", `v${version}.qcow2`)).toContain("No errors were found on the image.")
    const served = uri(`image/${image}@${version}`)
    expect(await tool("compare", "-f", "raw", "-F", "qcow2", served, `v${version}.qcow2`)).toContain("identical")
    if (hasExt4) expect(await run("debugfs", "-R", "cat /motd", out)).toBe(`version ${version}\n`)
  }

  beforeAll(async () => {
    await makeDisk()
    await ok("image", "add", image, at(`base.${format}`))
    server = await startServe(data)
    const site = (await connectSite(server.listeners.control!))!
    const rows = numbers(1, CLIENTS).map((n) => {
      return { line: n + 1, mac: `52:54:00:00:00:${n.toString(16).padStart(2, "0")}`, name: pc(n), image }
    })
    await site.call("client.import", { file: "lab.csv", rows }, { actor: { kind: "cli", name: "operator" } })
    await site.close()
  }, 60_000)
  afterAll(() => server?.stop())

  it("is changed by one client, and the others get it when they boot again, and not before", async () => {
    await ok("client", "set-super", pc(1), image)
    const running = await Promise.all(numbers(2, CLIENTS).map(connectClient))
    bytes.push(await changed(bytes[0]!, 2))
    const still = await connectClient(1)
    const refused = await imagelink(["image", "commit", image, "--json"], { data })
    expect([refused.status === 0, refusal(refused).code]).toEqual([false, "OVERLAY_IN_USE"])
    await still.disconnect()
    await writeAs(1, bytes[0]!, bytes[1]!)
    await ok("image", "commit", image, "--when-off", "--note", "a change")
    for (const disk of running) {
      expect(Buffer.from(await disk.read(0, SIZE)).equals(bytes[0]!)).toBe(true)
      await disk.disconnect()
    }
    await reset(1, CLIENTS / 2)
    expect(await clientsOn(bytes[1]!)).toEqual(numbers(1, CLIENTS / 2))
    expect(await clientsOn(bytes[0]!)).toEqual(numbers(CLIENTS / 2 + 1, CLIENTS))
  }, 120_000)

  it("is changed again on top of that by another, and each version's file is what is served of it", async () => {
    await ok("client", "set-super", pc(5), image)
    bytes.push(await changed(bytes[1]!, 3))
    await writeAs(5, bytes[1]!, bytes[2]!)
    await ok("image", "commit", image, "--when-off")
    for (const version of [1, 2, 3]) await expectServed(version)
  }, 120_000)

  it("is taken back to what it was for everybody", async () => {
    await ok("image", "rollback", image, "--to", "1")
    await reset(1, CLIENTS)
    expect(await clientsOn(bytes[0]!)).toEqual(numbers(1, CLIENTS))
    for (const version of [2, 3]) await expectServed(version)
  }, 120_000)

  it("has every step in the log, and another folder with that log serves the same bytes", async () => {
    await server.stop()
    const log = await events(data)
    const about = (e: LoggedEvent) => !["ImageChecked", "ClientBooted", "OverlayReset"].includes(e.type)
    const steps = log.filter(about).map((e) => e.type)
    expect(steps.filter((type) => !type.startsWith("Client"))).toEqual([
      "ImageAdded",
      "SuperClientSet",
      "ImageCommitted",
      "SuperClientSet",
      "ImageCommitted",
      "ImageRolledBack",
    ])
    const boots = log.filter((e) => e.type === "ClientBooted").map((e) => e.data.version)
    const bootsOf = (version: number) => boots.filter((v) => v === version).length
    // all at first and after the rollback; half of them, and the second super client once more
    expect([bootsOf(1), bootsOf(2), boots.length]).toEqual([
      2 * CLIENTS,
      CLIENTS / 2 + 1,
      2 * CLIENTS + CLIENTS / 2 + 1,
    ])

    const replayed = at("replayed")
    const left = [join(data, "projections"), join(data, "overlays")]
    const filter = (source: string) => !left.includes(source) && !source.endsWith(".sock")
    cpSync(data, replayed, { recursive: true, preserveTimestamps: true, verbatimSymlinks: true, filter })
    server = await startServe(replayed)
    for (const [i, expected] of bytes.entries())
      expect((await read(`image/${image}@${i + 1}`)).equals(expected), `version ${i + 1}`).toBe(true)
    expect(await clientsOn(bytes[0]!)).toEqual(numbers(1, CLIENTS))
  }, 120_000)
})
