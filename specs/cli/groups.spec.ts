/** Groups as an operator has them, each step a command of its own on one data folder. */
import { join } from "node:path"
import { beforeAll, describe, expect, it } from "vitest"
import { events, imagelink, json, refusal, scratch, startServe } from "../support/cli.ts"
import { rawImage } from "../support/images.ts"

const folder = scratch("groups")
const data = join(folder, "data")
const win11 = rawImage(folder, "win11.raw", 64 * 1024, 1)
const linux = rawImage(folder, "linux.raw", 64 * 1024, 2)

const ok = async (...args: ReadonlyArray<string>): Promise<string> => {
  const run = await imagelink(args, { data })
  expect(run).toMatchObject({ status: 0 })
  return run.stdout
}
const refused = async (...args: ReadonlyArray<string>) => {
  const run = await imagelink([...args, "--json"], { data })
  expect([run.status, run.stdout]).toEqual([expect.any(Number), ""])
  expect(run.status).not.toBe(0)
  return refusal(run)
}
const head = async () => (await events(data)).at(-1)!.position
const links = async () =>
  (await json<ReadonlyArray<{ client: string; image: string; slot: number }>>(["links"], { data })).map(
    (r) => `${r.client}/${r.slot} ${r.image}`,
  )

beforeAll(async () => {
  await ok("image", "add", "win11", win11.path, "--no-check")
  await ok("image", "add", "linux", linux.path, "--no-check")
  for (const n of [1, 2, 3]) await ok("client", "add", `52:54:00:00:00:0${n}`)
})

describe("a group", () => {
  it("is made of a range, and shows in a dry run what it would do", async () => {
    expect(await ok("group", "create", "lab", "PC-{001..002}", "--option", "menu=lab")).toBe(
      "group:lab group created: 2 members; menu=lab; PC-001, PC-002 joined\n",
    )
    const before = await head()
    expect(await ok("group", "link", "lab", "win11", "--dry-run")).toBe(
      [
        "would append 3 events:",
        "  group:lab group changed: slot 0 not linked → slot 0 win11@1, follows, discard",
        "  PC-001 linked: win11@1, follows, discard, group:lab",
        "  PC-002 linked: win11@1, follows, discard, group:lab\n",
      ].join("\n"),
    )
    expect(await head()).toBe(before)
    expect(await ok("group", "create", "LAB", "PC-{001..002}", "--option", "menu=lab")).toContain("nothing to change")
  })

  it("links its clients in one command, and those who join later", async () => {
    await ok("group", "link", "lab", "win11")
    await ok("group", "add", "lab", "PC-003")
    expect(await links()).toEqual(["PC-001/0 win11", "PC-002/0 win11", "PC-003/0 win11"])
    const keys = await json<ReadonlyArray<object>>(["links"], { data })
    expect(Object.keys(keys[0]!)).toEqual([
      "client",
      "mac",
      "address",
      "slot",
      "image",
      "version",
      "follows",
      "overlay",
      "superClient",
    ])
  })

  it("gives way to a client's own link, which shows, and comes back without it", async () => {
    await ok("client", "link", "PC-002", "linux")
    const [first, ...rest] = (await ok("group", "show", "group:LAB")).split("\n")
    expect(first).toMatch(/^lab {2}3 members, id [0-9a-f-]{36}$/)
    expect(rest).toEqual([
      "SLOT  IMAGE  LINK     OVERLAY",
      "   0  win11  follows  discard",
      "option menu=lab",
      "CLIENT  MAC                ADDRESS  DISKS",
      "PC-001  52:54:00:00:00:01  -        0: win11@1",
      "PC-002  52:54:00:00:00:02  -        0: linux@1 (own)",
      "PC-003  52:54:00:00:00:03  -        0: win11@1",
      "",
    ])
    expect(await ok("client", "unlink", "PC-002")).toBe(
      "PC-002 relinked: linux@1, follows, discard → win11@1, follows, discard, group:lab\n",
    )
    expect(await refused("client", "unlink", "PC-002")).toMatchObject({ code: "LINK_FROM_GROUP" })
  })

  it("gives options that a client's own go before", async () => {
    await ok("client", "set", "PC-001", "--option", "menu=own", "--option", "kernel-args=quiet a=b")
    expect(await ok("client", "show", "PC-001")).toMatch(
      /\nin group:lab\nSLOT .*\n +0 +win11@1 +follows +discard +\d+ +group:lab\nSETTING +VALUE +FROM\n(.*\n)*kernel-args +quiet a=b +own\nmenu +own +own\n/,
    )
    await ok("client", "set", "PC-001", "--no-option", "menu")
    const shown = await json<{ client: object }>(["client", "show", "PC-001"], { data })
    expect(shown.client).toMatchObject({
      groups: ["lab"],
      links: [{ slot: 0, source: "group:lab" }],
      options: [
        { key: "kernel-args", value: "quiet a=b", source: "own" },
        { key: "menu", value: "lab", source: "group:lab" },
      ],
    })
  })

  it("is a list of clients wherever clients are named", async () => {
    const changed = await json<{ events: ReadonlyArray<{ type: string }> }>(["client", "reset", "group:lab"], { data })
    expect(changed.events.map((e) => e.type)).toEqual(["OverlayReset", "OverlayReset", "OverlayReset"])
    expect(await refused("client", "link", "group:lag", "win11")).toMatchObject({
      code: "GROUP_NOT_FOUND",
      cause: "no group has this name; the nearest is lab",
    })
  })

  it("is refused what another group of its clients gives them", async () => {
    await ok("group", "create", "room", "PC-003")
    expect(await refused("group", "link", "room", "linux")).toMatchObject({
      code: "GROUP_CONFLICT",
      message: "PC-003 would get slot 0 from group:lab and from group:room",
    })
    await ok("group", "link", "room", "linux@1", "--slot", "1", "--overlay", "keep")
    expect(await refused("group", "unlink", "room", "--slot", "1")).toMatchObject({ code: "OVERLAY_KEPT" })
    expect((await ok("group", "list")).split("\n")).toEqual([
      "GROUP  MEMBERS  DISKS                   OPTIONS",
      "lab          3  0: win11                menu=lab",
      "room         1  1: linux@1 pinned keep  -",
      "",
    ])
    await ok("group", "unlink", "room", "--slot", "1", "--discard-kept")
  })

  it("says what it was told wrong", async () => {
    expect(await refused("group", "create", "a/b")).toMatchObject({ code: "GROUP_NAME_INVALID" })
    expect(await refused("group", "create", "lab", "PC-001")).toMatchObject({ code: "GROUP_EXISTS" })
    expect(await refused("group", "set", "lab", "--option", "menu")).toMatchObject({ code: "USAGE" })
    expect(await refused("group", "set", "lab", "--option", "Menu=x")).toMatchObject({ code: "OPTION_INVALID" })
    expect(await refused("group", "set", "lab")).toMatchObject({ code: "USAGE" })
    expect(await refused("group", "link", "lab", "win11", "--slot", "16")).toMatchObject({ code: "SLOT_INVALID" })
  })

  it("can be looked at then, under its name of then", async () => {
    const position = await head()
    await ok("group", "set", "lab", "--name", "hall", "--no-option", "menu")
    const then = await json<{ group: object; members: ReadonlyArray<object> }>(
      ["group", "show", "lab", "--position", String(position)],
      { data },
    )
    expect(then).toMatchObject({ group: { name: "lab", options: { menu: "lab" } }, members: [{}, {}, {}] })
    expect(await refused("group", "show", "lab")).toMatchObject({ code: "GROUP_NOT_FOUND" })
  })

  it("goes, and what it gave with it; its history stays", async () => {
    await ok("group", "drop", "hall", "PC-003")
    await ok("group", "remove", "hall")
    expect(await links()).toEqual([])
    const { stdout } = await imagelink(["history", "--group", "hall", "--json"], { data })
    const lines = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as { event: string; group: string })
    expect(lines.at(0)).toMatchObject({ event: "GroupChanged", what: "group created", group: "lab" })
    expect(lines.filter(({ event }) => event === "GroupChanged")).toHaveLength(6)
    const logged = (await ok("log", "--group", "hall", "--json")).trim().split("\n")
    expect(logged.map((line) => JSON.parse(line).type)).toEqual(lines.map(({ event }) => event))
    expect(lines.at(-1)).toMatchObject({ event: "ClientUnlinked", what: "unlinked", group: "hall" })
  })

  it("comes again from the events, byte for byte", async () => {
    const checked = await json<ReadonlyArray<{ equal: boolean }>>(["rebuild", "--check"], { data })
    expect(checked.length).toBeGreaterThan(4)
    expect(checked.filter(({ equal }) => !equal)).toEqual([])
  })
})

it("a group is changed alike while a server runs, and a repeated command id appends once", async () => {
  const server = await startServe(data)
  const id = "01900000-0000-7000-8000-0000000000aa"
  try {
    const make = ["group", "create", "cafe", "PC-{001..003}", "--command-id", id]
    const first = await json<{ repeated: boolean; position: number }>(make, { data })
    const again = await json<{ repeated: boolean; position: number }>(make, { data })
    expect([first.repeated, again.repeated, again.position]).toEqual([false, true, first.position])
    await ok("group", "link", "cafe", "linux")
    expect(await links()).toEqual(["PC-001/0 linux", "PC-002/0 linux", "PC-003/0 linux"])
    await ok("client", "remove", "group:cafe")
    expect(await json(["group", "list"], { data })).toMatchObject([
      { name: "cafe", members: [] },
      { name: "room", members: [] },
    ])
  } finally {
    await server.stop()
  }
})
