/**
 * An operator's update of a full lab: a hundred clients are on, one of them is super client and changes its ext4 disk, half of the others boot again.
 *
 * **Details** Every client has an NBD session of its own the whole time; nbdcopy, qemu-img and qemu-io are clients among them. What is in the files is told by
 * debugfs from disks that nbdcopy fetched. A boot again is `client reset` and a new session.
 */
import { createHash } from "node:crypto"
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { connectSite } from "../../adapters/api/client.ts"
import { connectNbd, type NbdClient } from "../../adapters/nbd/client.ts"
import { isImagelinkError } from "../../core/errors.ts"
import type { Actor } from "../../core/log/event-log.ts"
import type { Site } from "../../core/runtime/site.ts"
import { imagelink, type LoggedEvent, type Served, scratch, startServe } from "../support/cli.ts"
import { noise, run } from "../support/nbd-server.ts"
import { replayInto } from "../support/replayed-store.ts"
import { requires } from "../support/requires.ts"

const MiB = 2 ** 20
const SIZE = 4 * MiB
const BLOCK = 4096
const CLIENTS = 100
const HALF = CLIENTS / 2
const actor: Actor = { kind: "cli", name: "operator" }
const pc = (n: number) => `PC-${String(n).padStart(3, "0")}`
const numbers = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i)
const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex")

const missing = [
  requires("qemu-img", "qemu-utils"),
  requires("nbdcopy", "libnbd-bin"),
  requires("mke2fs", "e2fsprogs"),
  requires("debugfs", "e2fsprogs"),
].some(({ skip }) => skip)

describe.skipIf(missing)("a hundred clients of one image", () => {
  const folder = scratch("hundred")
  const data = join(folder, "data")
  const at = (name: string) => join(folder, name)
  const large = { first: noise(MiB / 2, 1), second: noise(MiB / 2 + 1000, 2) }
  let server: Served
  let site: Site
  let first: Buffer
  let second: Buffer
  const sessions = new Map<number, NbdClient>()

  const uri = (name: string) => `nbd://127.0.0.1:${server.nbdPort}/${name}`
  const diskOf = (n: number) => `client/${pc(n)}/0`
  const connect = async (from: number, to: number) => {
    const open = async (n: number) =>
      sessions.set(n, await connectNbd({ host: "127.0.0.1", port: server.nbdPort, export: diskOf(n) }))
    await Promise.all(numbers(from, to).map(open))
  }
  const disconnect = async (from: number, to: number) => {
    await Promise.all(numbers(from, to).map((n) => sessions.get(n)?.disconnect()))
    for (const n of numbers(from, to)) sessions.delete(n)
  }
  /** A session that has just said goodbye may be a moment from gone. */
  const bootAgain = async (from: number, to: number) => {
    await disconnect(from, to)
    const reset = () =>
      site.call("client.reset", { clients: numbers(from, to).map(pc), slot: 0 }, { actor }).then(
        () => "reset",
        (e) => (isImagelinkError(e) ? e.code : String(e)),
      )
    await expect.poll(reset, { timeout: 30_000, interval: 50 }).toBe("reset")
    await connect(from, to)
  }
  const serve = async (dir: string) => {
    server = await startServe(dir)
    site = (await connectSite(server.listeners.control!))!
  }
  const stop = async () => {
    await site.close()
    await server.stop()
  }

  /** Where a client leaves something of its own: a block that the file system does not use. */
  let free = 0
  const mark = (n: number) => Buffer.alloc(BLOCK, `written by ${pc(n)}, and nobody else's. `)
  const marked = (disk: Buffer, n: number) => {
    const with_ = Buffer.from(disk)
    mark(n).copy(with_, free)
    return with_
  }
  /** Numbers of the clients whose session reads otherwise. */
  const othersThan = async (expected: (n: number) => Buffer, from: number, to: number) => {
    const found: Array<number> = []
    for (const n of numbers(from, to)) if (!(await sessions.get(n)!.read(0, SIZE)).equals(expected(n))) found.push(n)
    return found
  }
  /** What nbdcopy fetches, and the SHA-256 of the files that debugfs finds in it. */
  const fetched = async (name: string) => {
    const file = at(`fetched-${name.replaceAll("/", "-")}.raw`)
    await run("nbdcopy", uri(name), file)
    const content = async (path: string) => {
      const out = `${file}${path.replaceAll("/", "-")}`
      await run("debugfs", "-R", `dump ${path} ${out}`, file)
      return existsSync(out) ? sha256(readFileSync(out)) : "none"
    }
    return { motd: await run("debugfs", "-R", "cat /motd", file), large: await content("/large") }
  }
  const asFirst = { motd: "the first version\n", large: sha256(large.first) }
  const asSecond = { motd: "the second version\n", large: sha256(large.second) }

  beforeAll(async () => {
    mkdirSync(at("files"))
    writeFileSync(at("files/motd"), asFirst.motd)
    writeFileSync(at("files/large"), large.first)
    writeFileSync(at("base.raw"), Buffer.alloc(SIZE))
    await run("mke2fs", "-q", "-F", "-t", "ext4", "-b", String(BLOCK), "-d", at("files"), at("base.raw"))
    first = readFileSync(at("base.raw"))
    // Found on a copy that has the change too, so that no version uses it.
    const work = at("work.raw")
    writeFileSync(work, first)
    writeFileSync(at("motd"), asSecond.motd)
    writeFileSync(at("large"), large.second)
    for (const command of ["rm /motd", `write ${at("motd")} /motd`, "rm /large", `write ${at("large")} /large`])
      await run("debugfs", "-w", "-R", command, work)
    await run("e2fsck", "-f", "-n", work)
    second = readFileSync(work)
    free = SIZE - BLOCK
    expect([first, second].map((disk) => disk.subarray(free).every((byte) => byte === 0))).toEqual([true, true])
    await run("qemu-img", "convert", "-c", "-O", "qcow2", at("base.raw"), at("base.qcow2"))
    await serve(data)
    await site.call("image.add", { name: "win11", path: at("base.qcow2"), check: true }, { actor })
    const rows = numbers(1, CLIENTS).map((n) => {
      return { line: n + 1, mac: `52:54:00:00:00:${n.toString(16).padStart(2, "0")}`, name: pc(n) }
    })
    await site.call("client.import", { file: "lab.csv", rows, image: "win11" }, { actor })
  }, 120_000)
  afterAll(async () => {
    for (const session of sessions.values()) session.destroy()
    await stop()
  })

  it("all boot the first version, and what one writes no other one reads", async () => {
    await site.call("client.set-super", { client: pc(1), image: "win11" }, { actor })
    await connect(1, CLIENTS)
    for (const n of numbers(2, CLIENTS)) await sessions.get(n)!.write(free, mark(n))
    expect(await othersThan((n) => (n === 1 ? first : marked(first, n)), 1, CLIENTS)).toEqual([])
  }, 120_000)

  it("one of them changes its files and is committed, while the others go on with what they booted", async () => {
    const disk = sessions.get(1)!
    for (let offset = 0; offset < SIZE; offset += BLOCK) {
      const block = second.subarray(offset, offset + BLOCK)
      if (!block.equals(first.subarray(offset, offset + BLOCK))) await disk.write(offset, block)
    }
    await disk.flush()
    const commit = () => imagelink(["image", "commit", "win11", "--note", "new files", "--json"], { data })
    expect((await commit()).stderr).toContain("OVERLAY_IN_USE")
    await disconnect(1, 1)
    const committed = await imagelink(["image", "commit", "win11", "--note", "new files", "--when-off"], { data })
    expect([committed.status, committed.stderr.includes("error")]).toEqual([0, false])
    expect(await othersThan((n) => marked(first, n), 2, CLIENTS)).toEqual([])
    expect(await fetched("image/win11@2")).toEqual(asSecond)
  }, 120_000)

  it("half of them boot again and have the new files, without what they wrote; the rest have neither", async () => {
    await bootAgain(1, HALF)
    expect(await othersThan(() => second, 1, HALF)).toEqual([])
    expect(await othersThan((n) => marked(first, n), HALF + 1, CLIENTS)).toEqual([])
    // A session that is lost and comes back is no boot: it has its own disk again.
    await disconnect(CLIENTS - 9, CLIENTS)
    await connect(CLIENTS - 9, CLIENTS)
    expect(await othersThan((n) => marked(first, n), CLIENTS - 9, CLIENTS)).toEqual([])
    expect(await fetched(diskOf(2))).toEqual(asSecond)
    expect(await fetched(diskOf(HALF))).toEqual(asSecond)
    expect(await fetched(diskOf(HALF + 1))).toEqual(asFirst)
    expect(await fetched(diskOf(CLIENTS))).toEqual(asFirst)
    const same = await run("qemu-img", "compare", "-f", "raw", "-F", "raw", uri(diskOf(3)), at("work.raw"))
    expect(same).toContain("Images are identical.")
    const written = ["-c", `write -P 0x42 ${free} ${BLOCK}`, "-c", "flush", "-c", `read -P 0x42 ${free} ${BLOCK}`]
    await run("qemu-io", "-f", "raw", ...written, uri(diskOf(4)))
    expect(await othersThan((n) => (n === 4 ? Buffer.from(second).fill(0x42, free) : second), 2, 5)).toEqual([])
  }, 120_000)

  it("it is taken back, and everyone boots the first version again", async () => {
    const back = await imagelink(["image", "rollback", "win11"], { data })
    expect([back.status, back.stderr]).toEqual([0, ""])
    expect(await othersThan(() => second, 5, HALF)).toEqual([])
    await bootAgain(1, CLIENTS)
    expect(await othersThan(() => first, 1, CLIENTS)).toEqual([])
    expect(await fetched(diskOf(1))).toEqual(asFirst)
    expect(await fetched(diskOf(CLIENTS))).toEqual(asFirst)
    expect(await fetched("image/win11@2")).toEqual(asSecond)
  }, 120_000)

  it("every step is in the log, and the log in an empty folder, beside the same files, serves the same bytes", async () => {
    await disconnect(1, CLIENTS)
    await stop()
    const { stdout } = await imagelink(["log", "--json"], { data })
    const lines = stdout.trimEnd().split("\n")
    const log = lines.map((line) => JSON.parse(line) as LoggedEvent)
    const counted = new Map<string, number>()
    for (const { type } of log) counted.set(type, (counted.get(type) ?? 0) + 1)
    expect(Object.fromEntries(counted)).toEqual({
      ImageAdded: 1,
      ImageChecked: expect.any(Number),
      ClientRegistered: CLIENTS,
      ClientLinked: CLIENTS,
      SuperClientSet: 1,
      ImageCommitted: 1,
      OverlayReset: HALF + CLIENTS,
      ImageRolledBack: 1,
      ClientBooted: CLIENTS + HALF + CLIENTS,
    })
    const booted = log.filter(({ type }) => type === "ClientBooted").map(({ data: { version } }) => version)
    expect([1, 2].map((version) => booted.filter((v) => v === version).length)).toEqual([2 * CLIENTS, HALF])

    const replayed = at("replayed")
    await replayInto(replayed, lines)
    const files = { recursive: true, preserveTimestamps: true, verbatimSymlinks: true }
    for (const name of ["layers", "parents", "sidecars"])
      if (existsSync(join(data, name))) cpSync(join(data, name), join(replayed, name), files)
    await serve(replayed)
    const shown = await site.call("image.show", { name: "win11" }, { actor })
    expect(shown.image).toMatchObject({ current: 1, versions: [{ number: 1 }, { number: 2, note: "new files" }] })
    expect((await site.call("links", {}, { actor })).length).toBe(CLIENTS)
    for (const [name, expected] of [
      ["image/win11@1", first],
      ["image/win11@2", second],
    ] as const) {
      await run("nbdcopy", uri(name), at("replayed.raw"))
      expect(readFileSync(at("replayed.raw")).equals(expected), name).toBe(true)
    }
    await connect(1, CLIENTS)
    expect(await othersThan(() => first, 1, CLIENTS)).toEqual([])
    expect(await fetched(diskOf(HALF))).toEqual(asFirst)
  }, 120_000)
})
