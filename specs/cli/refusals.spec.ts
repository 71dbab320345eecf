/** What is refused: the code, one `error:` line with cause and fix, the exit code of the class, nothing on stdout, and nothing changed. */
import { createHash } from "node:crypto"
import { once } from "node:events"
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs"
import { createServer, type Socket } from "node:net"
import { join } from "node:path"
import { beforeAll, describe, expect, it } from "vitest"
import { openSite } from "../../adapters/compose.ts"
import type { Actor } from "../../core/log/event-log.ts"
import type { Site } from "../../core/runtime/site.ts"
import { imagelink, type RunOptions, refusal, scratch } from "../support/cli.ts"
import { rawImage } from "../support/images.ts"
import { skipAloud } from "../support/requires.ts"

const folder = scratch("refusals")
const data = join(folder, "data")
const actor: Actor = { kind: "cli", name: "operator" }
const image = rawImage(folder, "disk.raw", 64 * 1024)
const root = process.getuid?.() === 0
/** Another user than the folder's owner: as root a real one, else nobody needs to be another for what is set to mode 0. */
const stranger = root ? { uid: 65534 } : {}

const withSite = async <A>(use: (site: Site) => Promise<A>, at = data): Promise<A> => {
  const site = await openSite({ dataDir: at, create: true })
  return use(site).finally(() => site.close())
}
const file = (name: string, content: string | Buffer): string => {
  const path = join(folder, name)
  writeFileSync(path, content)
  return path
}

/** Everything in a data folder that a command may have changed, less what LevelDB renames at each opening. */
const listing = (dir: string): ReadonlyArray<string> =>
  (readdirSync(dir, { recursive: true }) as Array<string>).filter((name) => !name.startsWith("store/db/")).sort()
const head = () => withSite(async (site) => (await site.call("log", {}, { actor })).position)

/** Every byte below a folder. */
const contentOf = (dir: string): string => {
  const hash = createHash("sha256")
  for (const name of (readdirSync(dir, { recursive: true }) as Array<string>).sort()) {
    const path = join(dir, name)
    hash.update(name).update(statSync(path).isFile() ? readFileSync(path) : "")
  }
  return hash.digest("hex")
}

/** Runs a command that is refused, judges how it says so, and answers the code and the message. */
const refused = async (args: ReadonlyArray<string>, options: RunOptions = { data }) => {
  const run = await imagelink([...args, "--json"], options)
  expect(run.stdout).toBe("")
  expect(run.stderr).toMatch(/^\{"error":\{.*\}\}\n$/)
  const said = refusal(run)
  expect(Object.keys(said).filter((key) => key !== "details")).toEqual(["code", "message", "cause", "fix"])
  for (const words of [said.message, said.cause, said.fix]) expect(words).toMatch(/\S/)
  return { status: run.status, ...said }
}

type Case = readonly [what: string, code: string, status: number, args: ReadonlyArray<string>, message?: string]

/** One after the other on the same folder, which must be as it was after each of them. */
const each = (cases: ReadonlyArray<Case>) => {
  for (const [what, code, status, args, message] of cases)
    it(`${what}: ${code}`, async () => {
      const before = listing(data)
      const said = await refused(args)
      expect({ code: said.code, status: said.status }).toEqual({ code, status })
      if (message !== undefined) expect(said.message).toContain(message)
      expect(listing(data)).toEqual(before)
      expect(await head()).toBe(6)
    })
}

beforeAll(async () => {
  await withSite(async (site) => {
    await site.call("image.add", { name: "win11", path: image.path, check: true }, { actor })
    await site.call("client.add", { mac: "52:54:00:00:00:01", name: "PC-001", address: "10.0.0.1" }, { actor })
    await site.call("client.add", { mac: "52:54:00:00:00:02", name: "PC-002" }, { actor })
    await site.call("client.link", { clients: ["PC-001"], image: "win11", slot: 0, overlay: "keep" }, { actor })
    await site.call("image.add", { name: "linux", path: image.path, check: false }, { actor })
  })
})

describe("an image that is none", () => {
  const add = (path: string) => ["image", "add", "new", path]
  const text = "this is a shell script\n".repeat(64).slice(0, 1024)
  each([
    ["no such file", "IMAGE_FILE_NOT_FOUND", 1, add(join(folder, "missing.raw")), "missing.raw"],
    ["a folder", "IMAGE_NOT_A_DISK", 1, add(folder)],
    ["a device", "IMAGE_NOT_A_DISK", 1, add("/dev/null")],
    ["an empty file", "IMAGE_NOT_A_DISK", 1, add(file("empty.raw", ""))],
    ["a text file", "IMAGE_FORMAT_UNSUPPORTED", 1, add(file("script.sh", text)), "is a text file"],
    [
      "a qcow2 file",
      "IMAGE_FORMAT_UNSUPPORTED",
      1,
      add(file("a.img", Buffer.concat([Buffer.from("QFI\xfb", "latin1"), Buffer.alloc(1020)]))),
      "is a qcow2 file",
    ],
    [
      "a gzip file",
      "IMAGE_FORMAT_UNSUPPORTED",
      1,
      add(file("b.img", Buffer.concat([Buffer.from("\x1f\x8b\x08\x00", "latin1"), Buffer.alloc(1020)]))),
      "is a gzip file",
    ],
    ["one byte short of two blocks", "IMAGE_SIZE_ODD", 1, add(file("short.raw", Buffer.alloc(1023))), "1023 bytes"],
    ["one byte past two blocks", "IMAGE_SIZE_ODD", 1, add(file("odd.raw", Buffer.alloc(1025))), "1025 bytes"],
    ["a taken name", "IMAGE_EXISTS", 1, ["image", "add", "win11", rawImage(folder, "other.raw", 1024, 3).path]],
    ["an unknown image to check", "IMAGE_NOT_FOUND", 1, ["image", "check", "win10"]],
    ["a version it has not", "IMAGE_VERSION_NOT_FOUND", 1, ["image", "check", "win11@2"]],
    ["an empty version", "IMAGE_NAME_INVALID", 1, ["image", "check", "win11@"]],
  ])

  it("may not be read by the user of the command", async () => {
    const secret = rawImage(folder, "secret.raw", 1024)
    chmodSync(secret.path, 0)
    const fresh = join(scratch("stranger"), "data")
    chmodSync(join(fresh, ".."), 0o777)
    const said = await refused(["image", "add", "new", secret.path], { data: fresh, ...stranger })
    expect([said.code, said.status]).toEqual(["IMAGE_ACCESS_DENIED", 1])
    expect(existsSync(fresh)).toBe(false)
  })
})

describe("names and addresses", () => {
  const names = ["a b", "a/b", "..", "müller", "x".repeat(65), "", "525400aabbcc", "a.b", "a_b", "a\nb", "-\u0000"]

  it("are refused where they hold odd characters, are too long, empty or read as a MAC, and nothing is appended", async () => {
    await withSite(async (site) => {
      const code = (call: Promise<unknown>) =>
        call.then(
          () => "accepted",
          (e) => e.code,
        )
      for (const name of [...names, "Win11"])
        expect([name, await code(site.call("image.add", { name, path: image.path, check: false }, { actor }))]).toEqual(
          [name, "IMAGE_NAME_INVALID"],
        )
      for (const name of [...names, "-a", "a-", "x".repeat(64)])
        expect([name, await code(site.call("client.add", { mac: "52:54:00:00:00:03", name }, { actor }))]).toEqual([
          name,
          "CLIENT_NAME_INVALID",
        ])
      for (const mac of [
        "",
        "52:54:00:00:00",
        "52:54:00:00:00:0g",
        "01:00:5e:00:00:01",
        "ff:ff:ff:ff:ff:ff",
        "00:00:00:00:00:00",
      ])
        expect([mac, await code(site.call("client.add", { mac }, { actor }))]).toEqual([mac, "CLIENT_MAC_INVALID"])
      for (const address of ["", "10.0.0", "10.0.0.256", "010.0.0.1", "127.0.0.1", "224.0.0.1", "0.0.0.0", "::1"])
        expect([
          address,
          await code(site.call("client.add", { mac: "52:54:00:00:00:03", address }, { actor })),
        ]).toEqual([address, "CLIENT_ADDRESS_INVALID"])
      expect((await site.call("log", {}, { actor })).position).toBe(6)
    })
  })

  const add = (...more: ReadonlyArray<string>) => ["client", "add", ...more]
  each([
    ["an image's name with a slash", "IMAGE_NAME_INVALID", 1, ["image", "add", "../etc", image.path]],
    ["a client's name with a space", "CLIENT_NAME_INVALID", 1, add("52:54:00:00:00:03", "--name", "PC 003")],
    ["a MAC that is none", "CLIENT_MAC_INVALID", 1, add("hello")],
    ["a taken name, in another case", "CLIENT_NAME_TAKEN", 1, add("52:54:00:00:00:03", "--name", "pc-001")],
    ["a taken MAC, in another spelling", "CLIENT_MAC_TAKEN", 1, add("5254.0000.0001", "--name", "PC-003")],
    ["a taken address", "CLIENT_ADDRESS_TAKEN", 1, add("52:54:00:00:00:03", "--ip", "10.0.0.1")],
    ["another address for the same client", "CLIENT_DIFFERS", 1, add("52:54:00:00:00:01", "--ip", "10.0.0.2")],
  ])
})

describe("clients, images and slots that are not there", () => {
  const link = (...args: ReadonlyArray<string>) => ["client", "link", ...args]
  each([
    ["an unknown client", "CLIENT_NOT_FOUND", 1, link("PC-01", "win11"), "there is no client PC-01"],
    ["an unknown image", "IMAGE_NOT_FOUND", 1, link("PC-001", "win1"), "there is no image win1"],
    ["an unknown version", "IMAGE_VERSION_NOT_FOUND", 1, link("PC-001", "win11@9")],
    ["a range with unknown clients", "CLIENT_NOT_FOUND", 1, link("PC-{001..003}", "win11"), "PC-003"],
    ["a range that runs backwards", "COMMAND_INVALID", 2, link("PC-{3..1}", "win11")],
    ["slot 16", "SLOT_INVALID", 1, link("PC-001", "win11", "--slot", "16")],
    ["slot -1", "SLOT_INVALID", 1, link("PC-001", "win11", "--slot=-1")],
    ["slot x", "SLOT_INVALID", 1, ["client", "unlink", "PC-001", "--slot", "x"]],
    ["a kept overlay in the way", "OVERLAY_KEPT", 1, link("PC-001", "linux"), "win11@1"],
    ["removing a client that keeps writes", "OVERLAY_KEPT", 1, ["client", "remove", "PC-001"], "win11@1"],
    ["removing an unknown client", "CLIENT_NOT_FOUND", 1, ["client", "remove", "PC-002", "PC-9"]],
    ["removing an image in use", "IMAGE_IN_USE", 1, ["image", "remove", "win11"], "1 link"],
    ["removing an unknown image", "IMAGE_NOT_FOUND", 1, ["image", "remove", "win12"]],
    ["a change to another client's name", "CLIENT_NAME_TAKEN", 1, ["client", "set", "PC-001", "--name", "pc-002"]],
    ["a change to nothing in particular", "USAGE", 2, ["client", "set", "PC-001"], "--name"],
    ["a reset of what is not linked", "LINK_NOT_FOUND", 1, ["client", "reset", "PC-002"]],
    ["a copy of an unknown client", "CLIENT_NOT_FOUND", 1, ["client", "copy", "PC-9", "52:54:00:00:00:03"]],
    ["the history of an unknown client", "CLIENT_NOT_FOUND", 1, ["history", "--client", "PC-9"]],
  ])

  it("name the nearest that is there", async () => {
    expect((await refused(link("PC-01", "win11"))).cause).toContain("the nearest is PC-001")
    expect((await refused(link("PC-001", "win1"))).cause).toContain("the nearest is win11")
  })
})

describe("a command line that is not understood", () => {
  each([
    ["no verb", "USAGE", 2, []],
    ["an unknown verb", "USAGE", 2, ["lnks"], "lnks"],
    ["a group without its verb", "USAGE", 2, ["client"]],
    ["an unknown verb of a group", "USAGE", 2, ["client", "delete", "PC-001"]],
    ["an unknown flag", "USAGE", 2, ["links", "--color"], "--color"],
    ["a missing argument", "USAGE", 2, ["client", "add"]],
    ["one argument too many", "USAGE", 2, ["image", "add", "a", "b", "c"]],
    ["a flag without its value", "USAGE", 2, ["client", "add", "52:54:00:00:00:03", "--name"]],
    ["an image and no client", "USAGE", 2, ["client", "link", "win11"]],
    ["an overlay policy that is none", "USAGE", 2, ["client", "link", "PC-001", "win11", "--overlay", "forever"]],
    ["a position that is none", "USAGE", 2, ["log", "--after", "-1"]],
    ["a time that is none", "USAGE", 2, ["history", "--since", "yesterday-ish"]],
    ["a position that is no number", "USAGE", 2, ["links", "--position", "1.5"]],
    ["a position of more digits than are exact", "USAGE", 2, ["links", "--position", "99999999999999999"]],
    ["a position past the head", "POSITION_NOT_FOUND", 1, ["links", "--position", "7"]],
    ["a time that is none", "USAGE", 2, ["links", "--at", "yesterday"]],
    ["digits as a time, which may be meant as a position", "USAGE", 2, ["links", "--at", "2026"]],
    ["a time and a position", "USAGE", 2, ["links", "--at", "1h", "--position", "1"]],
    ["a difference from one moment only", "USAGE", 2, ["links", "--diff", "1"]],
    ["a difference of three moments", "USAGE", 2, ["links", "--diff", "1", "2", "3"]],
    ["a difference and a position", "USAGE", 2, ["links", "--diff", "1", "2", "--position", "1"]],
    ["an event type there is none of", "USAGE", 2, ["log", "--type", "ClientLost"], "ClientLost"],
    ["a follower of an unknown client", "CLIENT_NOT_FOUND", 1, ["log", "--follow", "--client", "PC-999"]],
    ["an image to show that is not there", "IMAGE_NOT_FOUND", 1, ["image", "show", "nope"]],
    ["a client to show that is not there", "CLIENT_NOT_FOUND", 1, ["client", "show", "nope"]],
    [
      "a command id that is no UUID",
      "COMMAND_INVALID",
      2,
      ["client", "add", "52:54:00:00:00:03", "--command-id", "retry-1"],
    ],
    ["a client list that is not there", "FILE_UNREADABLE", 1, ["client", "import", join(folder, "missing.csv")]],
    ["a demo without clients", "USAGE", 2, ["demo", "--clients", "0"]],
    ["a demo in a folder that is not empty", "USAGE", 2, ["demo"]],
  ])
})

describe("in words", () => {
  it("has one error line with its code, a cause and a fix", async () => {
    const run = await imagelink(["image", "list"], { data: join(folder, "nowhere") })
    expect(run).toEqual({
      status: 1,
      stdout: "",
      stderr: [
        `error: there is no Imagelink data in ${join(folder, "nowhere")} [DATA_NOT_FOUND]`,
        "  cause: nothing was ever added here, or this is not the folder you mean",
        "  fix: name the folder with --data DIR or IMAGELINK_DATA, or begin with 'imagelink image add NAME PATH'",
        "",
      ].join("\n"),
    })
    const usage = await imagelink(["links", "--color"], { data })
    expect(usage.status).toBe(2)
    expect(usage.stderr).toBe(
      "error: unknown option '--color' [USAGE]\n  cause: the command line was not understood\n  fix: see imagelink links --help\n",
    )
  })
})

describe("a data folder", () => {
  const fresh = join(folder, "fresh")

  it.each([
    ["image", "list"],
    ["image", "check", "win11"],
    ["client", "list"],
    ["client", "link", "PC-001", "win11"],
    ["links"],
    ["log"],
    ["rebuild", "--check"],
  ])("that is not there is not made by %s %s", async (...args) => {
    const said = await refused(args, { data: fresh })
    expect([said.code, said.status]).toEqual(["DATA_NOT_FOUND", 1])
    expect(existsSync(fresh)).toBe(false)
  })

  it.each([
    ["image", "add", "new", join(folder, "missing.raw")],
    ["image", "add", "Bad Name", image.path],
    ["client", "add", "hello"],
    ["client", "import", file("bad.csv", "mac\nhello\n")],
    ["serve", "--address", "203.0.113.7", "--nbd-port", "0"],
  ])("is not made by a first command that fails: %s %s", async (...args) => {
    expect((await refused(args, { data: fresh })).status).toBe(1)
    expect(existsSync(fresh)).toBe(false)
  })

  it("is not made by a dry run, and stays where it held something else", async () => {
    expect((await imagelink(["client", "add", "52:54:00:00:00:03", "--dry-run"], { data: fresh })).status).toBe(0)
    expect(existsSync(fresh)).toBe(false)
    mkdirSync(fresh)
    writeFileSync(join(fresh, "imagelink.toml"), "")
    await refused(["client", "add", "hello"], { data: fresh })
    expect(readdirSync(fresh)).toEqual(["imagelink.toml"])
    rmSync(fresh, { recursive: true })
  })

  it("that another process has open is named with that process, and a server is not started on it", async () => {
    await withSite(async (site) => {
      await site.call("log", {}, { actor })
      for (const args of [["log"], ["client", "add", "52:54:00:00:00:03"], ["serve", "--nbd-port", "0"]]) {
        const said = await refused(args)
        expect([said.code, said.status, said.cause]).toEqual([
          "DATA_IN_USE",
          1,
          `process ${process.pid} has it open, and this command cannot work through it`,
        ])
      }
    })
  })

  it("that belongs to somebody else is refused, wherever the permission ends", async () => {
    const at = scratch("owned")
    await withSite(async () => {}, join(at, "data"))
    const dir = join(at, "data")
    await withSite((site) => site.call("client.add", { mac: "52:54:00:00:00:01" }, { actor }), dir)
    const denied = async (args: ReadonlyArray<string>) => {
      const { code, status, fix } = await refused(args, { data: dir, ...stranger })
      expect(fix).toContain("chown")
      return [code, status]
    }
    if (!root) chmodSync(join(dir, "store", "head"), 0o400)
    const before = contentOf(dir)
    expect(await denied(["links"])).toEqual(["DATA_ACCESS_DENIED", 1])
    expect(await denied(["client", "add", "52:54:00:00:00:03"])).toEqual(["DATA_ACCESS_DENIED", 1])
    chmodSync(dir, 0)
    expect(await denied(["links"])).toEqual(["DATA_ACCESS_DENIED", 1])
    chmodSync(dir, 0o755)
    expect(contentOf(dir)).toBe(before)
    chmodSync(at, 0o555)
    const none = await refused(["client", "add", "52:54:00:00:00:03"], { data: join(at, "new"), ...stranger })
    expect([none.code, none.status]).toEqual(["DATA_ACCESS_DENIED", 1])
    chmodSync(at, 0o755)
  })
})

describe("a damaged store", () => {
  const damaged = join(folder, "damaged")
  const cut = (name: string) => (dir: string) => truncateSync(join(dir, "store", name), 10)
  const damages: ReadonlyArray<readonly [string, (dir: string) => void]> = [
    ["store.json cut short", cut("store.json")],
    ["store.json gone", (dir) => rmSync(join(dir, "store", "store.json"))],
    ["site.key cut short", cut("site.key")],
    ["head cut short", cut("head")],
    ["CURRENT gone", (dir) => rmSync(join(dir, "store", "db", "CURRENT"))],
    [
      "the database's newest file cut short",
      (dir) => {
        const db = join(dir, "store", "db")
        const tables = readdirSync(db).filter((name) => name.endsWith(".ldb"))
        truncateSync(join(db, tables.sort().at(-1)!), 40)
      },
    ],
    [
      "everything in the store gone",
      (dir) => {
        rmSync(join(dir, "store"), { recursive: true })
        mkdirSync(join(dir, "store"))
      },
    ],
  ]
  it.each(damages)("is refused with exit 3 and left as it is: %s", async (_, damage) => {
    rmSync(damaged, { recursive: true, force: true })
    cpSync(data, damaged, { recursive: true })
    damage(damaged)
    const before = contentOf(damaged)
    for (const args of [["links"], ["client", "add", "52:54:00:00:00:03"]]) {
      const said = await refused(args, { data: damaged })
      expect([said.code, said.status]).toEqual(["STORE_DAMAGED", 3])
      expect(said.message).toContain(join(damaged, "store"))
    }
    expect(contentOf(damaged)).toBe(before)
  })
})

describe("a control socket that does not answer as it should", () => {
  const behaviours: ReadonlyArray<readonly [string, (socket: Socket) => void]> = [
    ["hangs up", (socket) => socket.destroy()],
    ["speaks something else", (socket) => socket.end("220 mail.example ESMTP\r\n")],
    ["answers with an error", (socket) => socket.end("HTTP/1.1 500 no\r\ncontent-length: 0\r\n\r\n")],
    ["says nothing", () => {}],
  ]
  it.each(behaviours)("is reported with exit 4 where it %s", async (_, behave) => {
    const server = createServer((socket) => behave(socket.on("error", () => {}).resume())).listen(
      join(data, "control.sock"),
    )
    await once(server, "listening")
    try {
      const said = await refused(["links"])
      expect([said.code, said.status]).toEqual(["SERVER_NOT_REACHABLE", 4])
    } finally {
      server.close()
      await once(server, "close")
    }
  })
})

describe("serve", () => {
  const at = join(folder, "never-served")
  let configs = 0
  const config = (text: string) => ["serve", "--config", file(`${++configs}.toml`, text)]

  it.each([
    ["TOML that is none", config("nbd-port = = 1"), "CONFIG_INVALID", 2, "TOML"],
    ["an unknown key", config("nbd_port = 10809"), "CONFIG_INVALID", 2, "nbd_port"],
    ["a key of the wrong type", config("nbd-port = true"), "CONFIG_INVALID", 2, "nbd-port"],
    ["a port past the last", config("nbd-port = 65536"), "CONFIG_INVALID", 2, "65535"],
    ["a cache that is no size", config('cache = "much"'), "CONFIG_INVALID", 2, "much"],
    [
      "a file that is not there",
      ["serve", "--config", join(folder, "missing.toml")],
      "CONFIG_INVALID",
      2,
      "no such file",
    ],
    ["a flag that is no port", ["serve", "--nbd-port", "nbd"], "CONFIG_INVALID", 2, "nbd-port"],
    [
      "a plugin that is not there",
      config('[[plugin]]\nmodule = "./missing.mjs"'),
      "PLUGIN_INVALID",
      1,
      "cannot be loaded",
    ],
    [
      "a plugin that is none",
      config(`[[plugin]]\nmodule = "${file("none.mjs", "export default { kind: 'none' }")}"`),
      "PLUGIN_INVALID",
      1,
      "",
    ],
    [
      "a plugin that throws",
      config(`[[plugin]]\nmodule = "${file("throws.mjs", "throw new Error('not today')")}"`),
      "PLUGIN_INVALID",
      1,
      "not today",
    ],
    [
      "an address of another machine",
      ["serve", "--nbd-port", "0", "--address", "203.0.113.7"],
      "LISTEN_FAILED",
      1,
      "EADDRNOTAVAIL",
    ],
    ["an address that is none", ["serve", "--nbd-port", "0", "--address", "no such"], "LISTEN_FAILED", 1, ""],
  ])("refuses %s and makes no store", async (_, args, code, status, cause) => {
    const said = await refused(args, { data: at })
    expect([said.code, said.status]).toEqual([code, status])
    expect(said.cause).toContain(cause)
    expect(existsSync(at)).toBe(false)
  })

  it("refuses a setting of the environment by its name", async () => {
    const said = await refused(["serve"], { data: at, env: { IMAGELINK_NBD_PORT: "many" } })
    expect([said.code, said.status]).toEqual(["CONFIG_INVALID", 2])
    expect(said.message).toContain("IMAGELINK_*")
  })

  it("reads imagelink.toml of the data folder without being told", async () => {
    mkdirSync(at)
    writeFileSync(join(at, "imagelink.toml"), 'adress = "127.0.0.1"')
    expect((await refused(["serve"], { data: at })).cause).toContain("adress")
    expect(readdirSync(at)).toEqual(["imagelink.toml"])
    rmSync(at, { recursive: true })
  })

  it("refuses a port that another program has", async () => {
    const server = createServer().listen(0, "127.0.0.1")
    await once(server, "listening")
    const { port } = server.address() as { port: number }
    const said = await refused(["serve", "--nbd-port", String(port)])
    server.close()
    expect([said.code, said.status]).toEqual(["PORT_IN_USE", 1])
    expect(said.fix).toContain(`sport = :${port}`)
    expect(existsSync(join(data, "control.sock"))).toBe(false)
  })

  const first = Number(readFileSync("/proc/sys/net/ipv4/ip_unprivileged_port_start", "utf8"))
  const ports = first > 1 ? { skip: false } : skipAloud("refusals.spec.ts", "every port is open to everyone here")
  it.skipIf(ports.skip)("refuses a port that this user may not open", async () => {
    const dir = join(scratch("port"), "data")
    chmodSync(join(dir, ".."), 0o777)
    const said = await refused(["serve", "--nbd-port", "1"], { data: dir, ...stranger })
    expect([said.code, said.status]).toEqual(["LISTEN_FAILED", 1])
    expect(existsSync(dir)).toBe(false)
  })
})
