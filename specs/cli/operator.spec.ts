/** The operator's way through the product, each step a command of its own on one data folder. */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { beforeAll, describe, expect, it } from "vitest"
import { readClients } from "../../adapters/cli/csv.ts"
import { parseMac } from "../../core/domain/names.ts"
import { canonicalJson } from "../../core/log/canonical.ts"
import { events, imagelink, json, type Run, refusal, scratch } from "../support/cli.ts"
import { rawImage } from "../support/images.ts"

const folder = scratch("operator")
const data = join(folder, "data")
const KiB = 1024
const image = rawImage(folder, "win11.raw", 256 * KiB)
const second = rawImage(folder, "linux.raw", 128 * KiB + 512, 2)

const file = (name: string, text: string | Buffer): string => {
  const path = join(folder, name)
  writeFileSync(path, text)
  return path
}
const nth = (n: number) => `PC-${String(n).padStart(3, "0")}`
const mac = (n: number) => `52:54:00:00:00:${n.toString(16).padStart(2, "0")}`
const hundred = Array.from({ length: 100 }, (_, i) => `${mac(i + 1)},${nth(i + 1)},10.0.0.${i + 1}`)
const clients = file("clients.csv", `mac,name,ip\n${hundred.join("\n")}\n`)

interface LinkRow {
  readonly client: string
  readonly image: string
  readonly version: number
  readonly follows: boolean
  readonly slot: number
  readonly mac: string
  readonly address: string | null
  readonly overlay: string
}
const links = (at = data) => json<ReadonlyArray<LinkRow>>(["links"], { data: at })
const head = async (at = data) => (await events(at)).at(-1)?.position ?? 0
const ok = async (args: ReadonlyArray<string>, at = data): Promise<string> => {
  const { status, stdout, stderr } = await imagelink(args, { data: at })
  expect({ status, stderr }).toMatchObject({ status: 0 })
  return stdout
}

describe("from nothing to a hundred linked clients", () => {
  it("adds an image, which makes the store, reads it once and says what to do next", async () => {
    const stdout = await ok(["image", "add", "win11", image.path])
    expect(stdout).toBe(
      "win11 image added: win11@1, raw\nwin11@1 verified: 4 clusters of 64 KiB\nnext: imagelink client import FILE.csv --image win11\n",
    )
    expect((await events(data)).map((e) => e.type)).toEqual(["ImageAdded", "ImageChecked"])
  })

  it("adds the same file under the same name again, which changes nothing", async () => {
    expect(await ok(["image", "add", "win11", image.path])).toContain("nothing to change")
    expect(await head()).toBe(2)
  })

  it("shows in a dry run what an import would append, and appends nothing", async () => {
    const { stdout } = await imagelink(["client", "import", clients, "--image", "win11", "--dry-run"], { data })
    expect(stdout).toContain("would append 200 events:")
    expect(stdout).toContain("PC-001 registered: 52:54:00:00:00:01, 10.0.0.1")
    const dry = await json<{ events: ReadonlyArray<{ type: string; position?: number }>; dryRun: boolean }>(
      ["client", "import", clients, "--image", "win11", "--dry-run"],
      { data },
    )
    expect(dry.dryRun).toBe(true)
    expect(dry.events).toHaveLength(200)
    expect(dry.events.every((e) => e.position === undefined)).toBe(true)
    expect(await head()).toBe(2)
  })

  it("imports a hundred clients as one command: 200 events under one id, 100 rows in the link table", async () => {
    const stdout = await ok(["client", "import", clients, "--image", "win11"])
    expect(stdout).toContain("… and 188 more (100 ClientRegistered, 100 ClientLinked)")
    const made = (await events(data)).slice(2)
    expect(made).toHaveLength(200)
    expect(new Set(made.map((e) => e.command)).size).toBe(1)
    expect(made.map((e) => e.position)).toEqual(Array.from({ length: 200 }, (_, i) => i + 3))
    const rows = await links()
    expect(rows.map((r) => r.client)).toEqual(Array.from({ length: 100 }, (_, i) => nth(i + 1)))
    expect(Object.keys(rows[0]!)).toEqual([
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
    expect(rows[99]).toEqual({
      client: "PC-100",
      mac: "52:54:00:00:00:64",
      address: "10.0.0.100",
      slot: 0,
      image: "win11",
      version: 1,
      follows: true,
      overlay: "discard",
      superClient: false,
    })
  })

  it("imports the same file again, which appends nothing", async () => {
    expect(await ok(["client", "import", clients, "--image", "win11"])).toBe("nothing to change: it is so already\n")
    expect(await head()).toBe(202)
  })

  it("registers the next client by a MAC with dashes, numbered on, and links it", async () => {
    expect(await ok(["client", "add", "52-54-00-00-00-FF"])).toBe("PC-101 registered: 52:54:00:00:00:ff, no address\n")
    expect(await ok(["client", "link", "PC-101", "win11"])).toBe("PC-101 linked: win11@1, follows, discard\n")
  })

  it("pins a range of clients, quoted, to a version, and leaves the others following", async () => {
    await ok(["client", "link", "PC-{001..010}", "win11@1"])
    const rows = await links()
    expect(rows.filter((r) => !r.follows).map((r) => r.client)).toEqual(
      Array.from({ length: 10 }, (_, i) => nth(i + 1)),
    )
    expect((await events(data)).slice(-10).every((e) => e.type === "ClientLinked")).toBe(true)
  })

  it("copies a client's links to MACs given, named or numbered on", async () => {
    await ok(["image", "add", "games", second.path, "--no-check"])
    await ok(["client", "link", "PC-005", "games", "--slot", "15", "--overlay", "keep"])
    await ok(["client", "copy", "PC-005", "52:54:00:00:01:01", "teacher=525400000102"])
    const copies = (await links()).filter((r) => r.mac.startsWith("52:54:00:00:01"))
    expect(copies.map(({ client, slot, image: i, follows, overlay }) => [client, slot, i, follows, overlay])).toEqual([
      ["PC-102", 0, "win11", false, "discard"],
      ["PC-102", 15, "games", true, "keep"],
      ["teacher", 0, "win11", false, "discard"],
      ["teacher", 15, "games", true, "keep"],
    ])
  })

  it("tells one client's history: who, what, from what, to what", async () => {
    const { stdout } = await imagelink(["history", "--client", "pc-005", "--json"], { data })
    const lines = stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line))
    expect(lines.map(({ what, from, to, client }) => [client, what, from, to])).toEqual([
      ["PC-005", "registered", null, "52:54:00:00:00:05, 10.0.0.5"],
      ["PC-005", "linked", null, "win11@1, follows, discard"],
      ["PC-005", "link changed", "win11@1, follows, discard", "win11@1, pinned, discard"],
      ["PC-005", "linked", null, "games@1, follows, keep"],
    ])
    expect(lines.every((l) => l.actor.kind === "cli")).toBe(true)
    const people = await ok(["history", "--client", "52:54:00:00:00:05"])
    expect(people.split("\n")).toHaveLength(6)
    expect(people).toMatch(/^POSITION +WHEN +WHO +WHAT +OF +FROM +TO +COMMAND\n/)
  })

  it("prints with `log --json` exactly the canonical bytes that are stored", async () => {
    const { stdout } = await imagelink(["log", "--json"], { data })
    const lines = stdout.split("\n").filter((line) => line !== "")
    expect(lines.map((line) => JSON.parse(line).position)).toEqual(lines.map((_, i) => i + 1))
    for (const line of lines) expect(canonicalJson(JSON.parse(line))).toBe(line)
    const after = await imagelink(["log", "--json", "--after", String(lines.length - 1)], { data })
    expect(after.stdout).toBe(`${lines.at(-1)}\n`)
  })

  it("does not mind when nobody reads to the end", async () => {
    for (const args of [["log", "--json"], ["links"], ["client", "list"]])
      expect(await imagelink(args, { data, unread: true })).toEqual({ status: 0, stdout: "", stderr: "" })
  })

  it("rebuilds every projection from the log and finds them equal", async () => {
    expect(await json(["rebuild", "--check"], { data })).toEqual(
      ["catalogue", "link-table", "image-versions", "last-changes", "boot-history", "groups"].map((name) => ({
        name,
        position: expect.any(Number),
        equal: true,
      })),
    )
  })

  it("takes the data folder before the verb, after it, or from IMAGELINK_DATA", async () => {
    const ways = [
      imagelink.bind(null, ["--data", data, "links", "--json"]),
      imagelink.bind(null, ["links", "--json", "--data", data], { env: { IMAGELINK_DATA: join(folder, "elsewhere") } }),
      imagelink.bind(null, ["links", "--json"], { cwd: folder, env: { IMAGELINK_DATA: "data" } }),
    ]
    const runs: Array<Run> = []
    for (const way of ways) runs.push(await way())
    const tables = runs.map((r) => r.stdout)
    expect(JSON.parse(tables[0]!)).toHaveLength(106)
    expect(new Set(tables).size).toBe(1)
  })
})

describe("a command id", () => {
  const id = (n: number) => `01935b00-0000-7000-8000-00000000000${n}`
  const at = join(folder, "retries")
  const csv = file("three.csv", `name,mac\nA,${mac(1)}\nB,${mac(2)}\nC,${mac(3)}\n`)
  const commands: ReadonlyArray<readonly [ReadonlyArray<string>, number]> = [
    [["image", "add", "disk", image.path, "--command-id", id(1)], 2],
    [["client", "import", csv, "--image", "disk", "--command-id", id(2)], 8],
    [["client", "add", "52:54:00:00:00:09", "--command-id", id(3)], 9],
    [["client", "copy", "A", "52:54:00:00:00:0a", "--command-id", id(4)], 11],
    [["client", "link", "A", "disk@1", "--command-id", id(5)], 12],
    [["client", "reset", "A", "--command-id", id(6)], 13],
    [["client", "unlink", "A", "--command-id", id(7)], 14],
  ]

  beforeAll(async () => {
    for (const [args] of commands) await ok(args, at)
  })

  it("appends once however often it is sent, also where ids are made for new things", async () => {
    const before = await events(at)
    expect(before).toHaveLength(14)
    for (const [args] of commands) {
      const again = await json<{ repeated: boolean; events: ReadonlyArray<{ command: string }> }>(args, { data: at })
      expect(again.repeated).toBe(true)
      expect(new Set(again.events.map((e) => e.command))).toEqual(new Set([args.at(-1)]))
    }
    expect(await events(at)).toEqual(before)
  })

  it("is refused for any other command", async () => {
    for (const other of [
      ["client", "add", "52:54:00:00:00:0b", "--command-id", id(3)],
      ["client", "link", "B", "disk", "--slot", "1", "--command-id", id(2)],
      ["image", "add", "disk2", image.path, "--command-id", id(1)],
    ]) {
      const run = await imagelink([...other, "--json"], { data: at })
      expect([run.status, refusal(run).code]).toEqual([1, "COMMAND_REUSED"])
    }
    expect(await head(at)).toBe(14)
  })
})

describe("a client list", () => {
  const shapes: ReadonlyArray<readonly [string, string | Buffer]> = [
    ["columns in any order", `ip,image,name,mac\n10.1.0.1,disk@1,A,${mac(1)}\n10.1.0.2,,B,${mac(2)}\n`],
    [
      "column titles in any case, with spaces around",
      ` IP , Image,NAME,Mac \n10.1.0.1,disk@1,A,${mac(1)}\n10.1.0.2,,B,${mac(2)}\n`,
    ],
    [
      "hostname and address for name and ip",
      `hostname,address,image,mac\nA,10.1.0.1,disk@1,${mac(1)}\nB,10.1.0.2,,${mac(2)}\n`,
    ],
    [
      "comments and blank lines",
      `# lab 3\n\nmac,name,ip,image\n# first row\n${mac(1)},A,10.1.0.1,disk@1\n\n   \n${mac(2)},B,10.1.0.2,\n# end`,
    ],
    ["semicolons", `mac;name;ip;image\n${mac(1)};A;10.1.0.1;disk@1\n${mac(2)};B;10.1.0.2;\n`],
    ["CRLF", `mac,name,ip,image\r\n${mac(1)},A,10.1.0.1,disk@1\r\n${mac(2)},B,10.1.0.2,\r\n`],
    ["a byte order mark", `\ufeffmac,name,ip,image\n${mac(1)},A,10.1.0.1,disk@1\n${mac(2)},B,10.1.0.2,`],
    [
      "a byte order mark before a comment",
      `\ufeff# lab 3\nmac;name;ip;image\n${mac(1)};A;10.1.0.1;disk@1\n${mac(2)};B;10.1.0.2;`,
    ],
    [
      "quoted fields",
      `"mac","name","ip","image"\n"${mac(1)}","A","10.1.0.1","disk@1"\n"${mac(2)}","B","10.1.0.2",""\n`,
    ],
    [
      "spaces around cells, and MACs in any spelling",
      `mac , name,ip,image\n 52-54-00-00-00-01 , A , 10.1.0.1 , disk@1\n525400000002,B,10.1.0.2, \n`,
    ],
  ]

  it.each(shapes)("is read the same with %s", (_, text) => {
    const rows = readClients(file("shape.csv", text)).map(({ line, ...row }) => row)
    expect(rows.map((row) => ({ ...row, mac: parseMac(row.mac) }))).toEqual([
      { mac: mac(1), name: "A", address: "10.1.0.1", image: "disk@1" },
      { mac: mac(2), name: "B", address: "10.1.0.2" },
    ])
  })

  it("numbers rows without a name from PC-001 on, past the names that the file gives", async () => {
    const at = join(folder, "unnamed")
    await ok(["client", "import", file("unnamed.csv", `mac,name\n${mac(1)},\n${mac(2)},PC-002\n${mac(3)},\n`)], at)
    const rows = await json<ReadonlyArray<{ name: string; mac: string }>>(["client", "list"], { data: at })
    expect(rows.map((r) => [r.name, r.mac])).toEqual([
      ["PC-001", mac(1)],
      ["PC-002", mac(2)],
      ["PC-003", mac(3)],
    ])
  })
})
