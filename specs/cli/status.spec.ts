/** `imagelink status`, asked of a real server while a client has its disk open. */
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { connectNbd, type NbdClient } from "../../adapters/nbd/client.ts"
import type { ClientShown } from "../../core/runtime/site/clients.ts"
import type { Status } from "../../core/runtime/status.ts"
import { imagelink, json, refusal, type Served, scratch, startServe } from "../support/cli.ts"
import { until } from "../support/committing.ts"
import { type Follower, startFollower } from "../support/follower.ts"
import { rawImage } from "../support/images.ts"

const data = join(scratch("status-cli"), "data")
const image = rawImage(scratch("status-image"), "win11.raw", 256 * 1024)
let server: Served
let disk: NbdClient | undefined
let follower: Follower | undefined

beforeAll(async () => {
  server = await startServe(data)
  await json(["image", "add", "win11", image.path], { data })
  await json(["client", "add", "52:54:00:00:00:01", "--name", "PC-001"], { data })
  await json(["client", "add", "52:54:00:00:00:02", "--name", "PC-002"], { data })
  await json(["client", "link", "PC-001", "win11"], { data })
})
afterAll(async () => {
  await follower?.stop()
  disk?.destroy()
  await server?.stop()
})

describe("status", () => {
  it("has the server, its listeners, and every client in a row: one that runs with what it wrote", async () => {
    const before = await json<Status>(["status"], { data })
    expect(before.server).toEqual({
      ...{ version: expect.stringMatching(/^\d+\.\d+\.\d+/), since: expect.any(Number) },
      ...{ memoryBytes: expect.any(Number), position: expect.any(Number) },
    })
    expect(before.listeners).toContainEqual({ protocol: "nbd", at: server.listeners.nbd })
    expect(before.clients.map(({ client, state, image, version }) => [client, state, image, version])).toEqual([
      ["PC-001", "off", "win11", 1],
      ["PC-002", "off", null, null],
    ])
    disk = await connectNbd({ host: "127.0.0.1", port: server.nbdPort, export: "client/PC-001/0" })
    await disk.write(0, Buffer.alloc(8192, 1))
    await disk.read(0, 4096)
    const [running, other] = (await json<Status>(["status"], { data })).clients
    expect(running).toMatchObject({ client: "PC-001", state: "running", image: "win11", version: 1 })
    expect([running!.writtenBytes, running!.address, other!.state]).toEqual([8192, "127.0.0.1", "off"])
    expect([running!.sessions, other!.sessions, other!.readBytesPerSecond]).toEqual([1, 0, null])
  })

  it("has what a client reads and writes now, and how much of it was in memory", async () => {
    const moving = setInterval(() => {
      void disk!.read(65_536, 4096)
      void disk!.write(0, Buffer.alloc(4096, 2))
    }, 10)
    try {
      await until(async () => {
        const [row] = (await json<Status>(["status"], { data })).clients
        const { readBytesPerSecond: read, writtenBytesPerSecond: written, cacheHitShare: hits } = row!
        return read! > 0 && written! > 0 && hits! > 0.5 && hits! <= 1
      })
    } finally {
      clearInterval(moving)
    }
  })

  it("of one client has its sessions, its last boot and its settings", async () => {
    const shown = await json<ClientShown>(["client", "show", "PC-001"], { data })
    expect(shown.live).toMatchObject({ state: "running", writtenBytes: 8192 })
    expect(shown.live!.sessions).toEqual([
      {
        ...{ protocol: "nbd", address: "127.0.0.1", initiator: null, slot: 0, disk: "PC-001 slot 0 over win11@1" },
        ...{ since: expect.any(Number), readBytes: expect.any(Number), writtenBytes: expect.any(Number) },
      },
    ])
    expect(shown.live!.sessions[0]!.readBytes).toBeGreaterThanOrEqual(4096)
    expect(shown.lastBoot).toMatchObject({ protocol: "nbd", version: 1, image: { name: "win11" } })
    expect(shown.client.settings).toContainEqual({ key: "overlay-quota", value: "none", source: "default" })
    const { stdout } = await imagelink(["client", "show", "PC-001"], { data })
    expect(stdout).toMatch(/\nrunning for \d+ \w+; reads [\d.]+ \w+\/s, writes .*; 8 KiB written\nSESSION +SLOT/)
    expect(stdout).toMatch(/\nlast boot:\n.*PC-001 +win11@1 +discard +127\.0\.0\.1 +nbd/)
    const then = await json<ClientShown>(["client", "show", "PC-001", "--position", "3"], { data })
    expect([then.live, then.lastBoot]).toEqual([null, null])
  })

  it("is a table for people", async () => {
    const { status, stdout } = await imagelink(["status"], { data })
    const lines = stdout.split("\n")
    expect([status, lines[2]]).toEqual([0, "2 clients: 1 running, 1 off"])
    expect(lines[4]).toMatch(
      /^PC-001 +running +\d+ \w+ +win11@1 +8 KiB +[\d.]+ \w+ +[\d.]+ \w+ +(-|\d+ %) +127\.0\.0\.1$/,
    )
    expect(lines[5]).toMatch(/^PC-002 +off( +-){7}$/)
  })

  it("goes on with --watch, without a terminal as a list of answers, and ends with whoever reads it", async () => {
    follower = startFollower(["--data", data, "status", "--watch", "--json"])
    const lines = await follower.until(2)
    const answers = lines.map((line) => JSON.parse(line) as Status)
    expect(answers.map(({ clients }) => clients[0]!.state)).toEqual(["running", "running"])
    expect(lines.join("")).not.toContain("\x1b")
    expect((await imagelink(["status", "--watch"], { data, unread: true })).status).toBe(0)
  })

  it("ends with --watch when the server does, with the exit code of a server that does not answer", async () => {
    disk?.destroy()
    await server.stop()
    expect(await follower!.ended()).toBe(4)
  })

  it("left a log of JSON lines, one of them for the boot", () => {
    const lines = server
      .stderr()
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, unknown>)
    for (const line of lines)
      expect(line).toMatchObject({
        time: expect.any(String),
        level: expect.stringMatching(/info|error/),
        msg: expect.any(String),
      })
    const boots = lines.filter(({ msg }) => String(msg).startsWith("boot "))
    expect(boots).toEqual([
      expect.objectContaining({ client: "PC-001", image: "win11", version: 1, protocol: "nbd", address: "127.0.0.1" }),
    ])
    expect(Object.keys(boots[0]!.stages as object)).toEqual(["login", "first read"])
  })

  it("is refused where no server runs, with what to do", async () => {
    const nowhere = join(scratch("status-none"), "data")
    const run = await imagelink(["status", "--json"], { data: nowhere })
    expect([run.status, run.stdout, refusal(run).code]).toEqual([4, "", "SERVER_NOT_REACHABLE"])
    expect(refusal(run).fix).toContain("imagelink serve")
  })
})
