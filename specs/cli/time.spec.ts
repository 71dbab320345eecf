/** Looking back and following, as an operator does: commands on a folder, and beside a running server. */
import { request } from "node:http"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { parseMoment, parseSince } from "../../adapters/cli/time.ts"
import { events, imagelink, json, type LoggedEvent, type Served, scratch, startServe } from "../support/cli.ts"
import { type Follower, startFollower } from "../support/follower.ts"
import { rawImage } from "../support/images.ts"

const folder = scratch("time")
const data = join(folder, "data")
const win11 = rawImage(folder, "win11.raw", 64 * 1024, 1)
const linux = rawImage(folder, "linux.raw", 64 * 1024, 2)

const ok = async (...args: ReadonlyArray<string>) => {
  const run = await imagelink(args, { data })
  expect(run).toMatchObject({ status: 0 })
  return run
}
const followers: Array<Follower> = []
const follow = (...args: ReadonlyArray<string>): Follower => {
  const follower = startFollower(["--data", data, "log", "--follow", ...args])
  followers.push(follower)
  return follower
}
let log: ReadonlyArray<LoggedEvent> = []

beforeAll(async () => {
  await ok("image", "add", "win11", win11.path, "--no-check")
  await ok("client", "add", "52:54:00:00:00:01", "--name", "PC-001", "--ip", "10.0.0.1")
  await ok("client", "link", "PC-001", "win11")
  await ok("image", "add", "linux", linux.path, "--no-check")
  await ok("client", "link", "PC-001", "linux", "--overlay", "keep")
  log = await events(data)
  expect(log).toHaveLength(5)
})
afterAll(() => Promise.all(followers.map((follower) => follower.stop())))

interface Row {
  readonly client: string
  readonly image: string
}

describe("a time as it is written", () => {
  const at = Date.UTC(2026, 10, 22, 14, 5)
  it("is a moment with or without its zone, which is then UTC, a day, or how long ago", () => {
    for (const text of ["2026-11-22T14:05Z", "2026-11-22T14:05", "2026-11-22 14:05", "2026-11-22 14:05:00Z"])
      expect(parseSince(text, 0), text).toBe(at)
    expect(parseSince("2026-11-22T15:05+01:00", 0)).toBe(at)
    expect(parseSince("2026-11-22 14:05:00.250", 0)).toBe(at + 250)
    expect(parseSince("2026-11-22", 0)).toBe(Date.UTC(2026, 10, 22))
    expect(parseSince("2h", at)).toBe(at - 7_200_000)
  })
  it("of digits alone is a position where one may be meant", () => {
    expect(parseMoment("203", 0)).toEqual({ position: 203 })
    expect(parseMoment("203s", 203_000)).toEqual({ at: 0 })
  })
})

describe("links then", () => {
  const images = async (...args: ReadonlyArray<string>) =>
    (await json<ReadonlyArray<Row>>(["links", ...args], { data })).map((r) => `${r.client} ${r.image}`)

  it("are the same array of rows as links now, at each position", async () => {
    expect(await images("--position", "0")).toEqual([])
    expect(await images("--position", "2")).toEqual([])
    expect(await images("--position", "3")).toEqual(["PC-001 win11"])
    expect(await images("--position", "5")).toEqual(["PC-001 linux"])
    expect(await json(["links", "--position", "5"], { data })).toEqual(await json(["links"], { data }))
  })

  it("at exactly an event's time have that event, and one millisecond before do not", async () => {
    const iso = (at: number) => new Date(at).toISOString()
    expect(await images("--at", iso(log[4]!.at))).toEqual(["PC-001 linux"])
    expect(await images("--at", iso(log[4]!.at - 1))).toEqual(["PC-001 win11"])
    expect(await images("--at", iso(log[0]!.at - 1))).toEqual([])
    expect(await images("--at", "2000-01-01")).toEqual([])
  })

  it("say which position was used, beside the answer", async () => {
    const run = await ok("links", "--position", "3")
    const seconds = new Date(log[2]!.at).toISOString().slice(0, 19).replace("T", " ")
    expect(run.stderr).toBe(`as of position 3, ${seconds}Z\n`)
    expect(run.stdout).toBe(
      "CLIENT  MAC                ADDRESS   SLOT  IMAGE    LINK     OVERLAY\n" +
        "PC-001  52:54:00:00:00:01  10.0.0.1     0  win11@1  follows  discard\n",
    )
    expect(await ok("links", "--at", "2000-01-01")).toMatchObject({
      stdout: "no links then\n",
      stderr: "as of position 0, before the first event\n",
    })
  })

  it("compare in both directions", async () => {
    const { stdout } = await ok("links", "--diff", "3", "5")
    const [, , , row, total] = stdout.split("\n")
    expect(row).toBe(
      "~  PC-001  52:54:00:00:00:01  10.0.0.1     0  linux@1  follows  keep     image win11, overlay discard",
    )
    expect(total).toBe("0 added, 0 removed, 1 changed")
    expect((await ok("links", "--diff", "0", "5")).stdout).toContain("\n+  PC-001")
    expect((await ok("links", "--diff", "5", "0")).stdout).toContain("\n-  PC-001")
    const back = await json<{ changed: ReadonlyArray<unknown> }>(["links", "--diff", "5", "3"], { data })
    expect(back.changed).toMatchObject([{ from: { image: "linux" }, to: { image: "win11" } }])
  })
})

describe("one thing, then", () => {
  it("an image shows its version and who used it", async () => {
    expect((await ok("image", "show", "win11", "--position", "3")).stdout).toMatch(
      /current @1, 1 link, .*\n.*\n.*PC-001/,
    )
    expect((await ok("image", "show", "win11")).stdout).toMatch(/current @1, 0 links, /)
  })
  it("a client shows its link, its epoch and its changes", async () => {
    const then = await json<{ client: object; lastChanges: ReadonlyArray<object> }>(
      ["client", "show", "PC-001", "--position", "4"],
      { data },
    )
    expect(then.client).toMatchObject({ links: [{ image: "win11", overlay: "discard", epoch: 3, source: "own" }] })
    expect(then.lastChanges).toHaveLength(2)
    expect((await ok("client", "show", "PC-001")).stdout).toMatch(
      /linux@1 +follows +keep +5 +own\nSETTING +VALUE +FROM\n(.*\n)*hook +first +default\n(.*\n)*last changes:/,
    )
  })
  it("history ends where --until says", async () => {
    const until = new Date(log[2]!.at).toISOString()
    const { stdout } = await ok("history", "--until", until, "--json")
    expect(stdout.trim().split("\n")).toHaveLength(3)
  })
})

describe("a follower without a server", () => {
  it("prints what is there and what other commands add, and is in nobody's way", async () => {
    const follower = follow("--json", "--type", "ClientRegistered")
    await follower.until(1)
    await ok("client", "add", "52:54:00:00:00:02", "--name", "PC-002")
    const lines = await follower.until(2)
    const stored = (await ok("log", "--json", "--type", "ClientRegistered")).stdout
    expect(`${lines.join("\n")}\n`).toBe(stored)
    expect(await follower.stop()).toBe(0)
  })

  it("ends when nobody reads it any more", async () => {
    const follower = follow()
    await follower.until(6)
    follower.unread()
    await ok("client", "add", "52:54:00:00:00:03", "--name", "PC-003")
    expect(await follower.ended()).toBe(0)
  })
})

describe("beside a running server", () => {
  let server: Served
  beforeAll(async () => {
    server = await startServe(data)
  })
  afterAll(() => server.stop())

  it("links then and the difference are the server's answer", async () => {
    expect(await json(["links", "--position", "3"], { data })).toMatchObject([{ client: "PC-001", image: "win11" }])
    expect(await json(["links", "--diff", "0", "3"], { data })).toMatchObject({ added: [{ image: "win11" }] })
    const run = await imagelink(["links", "--position", "99999", "--json"], { data })
    expect(run.status).toBe(1)
  })

  it("a follower gets each new event at once, of its client only, and Ctrl-C ends it well", async () => {
    const follower = follow("--client", "PC-001")
    await follower.until(3)
    await ok("client", "reset", "PC-001")
    await ok("client", "link", "PC-002", "win11")
    await ok("client", "link", "PC-001", "win11", "--overlay", "discard", "--discard-kept")
    const lines = await follower.until(5)
    expect(lines[3]).toContain("PC-001 overlay reset")
    expect(lines[4]).toContain("PC-001 relinked: linux@1, follows, keep → win11@1")
    expect(await follower.stop()).toBe(0)
  })

  it("a follower that stops reading, or goes away, holds nothing up", async () => {
    const control = server.listeners.control!
    const body = JSON.stringify({ operation: "log", input: { follow: true }, actor: { kind: "cli", name: "spec" } })
    const asked = request({ socketPath: control, method: "POST", path: "/v1/call" }, (res) => res.pause())
    asked.on("error", () => {})
    asked.end(body)
    await new Promise((resolve) => asked.once("response", resolve))
    await ok("client", "reset", "PC-001")
    asked.destroy()
    await ok("client", "reset", "PC-001")
    expect((await events(data)).at(-1)).toMatchObject({ type: "OverlayReset" })
  })

  it("a follower carries on when the server is started again", async () => {
    const head = (await events(data)).length
    const follower = follow("--json", "--after", String(head))
    await ok("client", "add", "52:54:00:00:00:04", "--name", "PC-004")
    await follower.until(1)
    expect(await server.stop()).toBe(0)
    await ok("client", "add", "52:54:00:00:00:05", "--name", "PC-005")
    server = await startServe(data)
    await ok("client", "add", "52:54:00:00:00:06", "--name", "PC-006")
    const lines = await follower.until(3)
    const added = lines.map((line) => (JSON.parse(line) as LoggedEvent).data)
    expect(added).toMatchObject(["PC-004", "PC-005", "PC-006"].map((name) => ({ client: { name } })))
    expect(await follower.stop()).toBe(0)
  })
})
