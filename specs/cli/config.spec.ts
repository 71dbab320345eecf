/** What `config show` and `config check` say, and where an error in imagelink.toml is said to be. */
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs"
import { networkInterfaces } from "node:os"
import { join, relative } from "node:path"
import { describe, expect, it } from "vitest"
import { readConfigSource } from "../../adapters/cli/config-file.ts"
import { tomlLines } from "../../adapters/cli/toml-lines.ts"
import { isImagelinkError } from "../../core/errors.ts"
import { effectiveConfig } from "../../core/runtime/config.ts"
import { imagelink, json, refusal, scratch } from "../support/cli.ts"

const folder = scratch("config")
let files = 0
const file = (text: string): string => {
  const path = join(folder, `${++files}.toml`)
  writeFileSync(path, text)
  return path
}

/** The cause of the refusal, or "accepted". */
const said = async (text: string): Promise<string> => {
  const path = file(text)
  try {
    effectiveConfig([await readConfigSource(path)])
    return "accepted"
  } catch (e) {
    if (!isImagelinkError(e) || e.code !== "CONFIG_INVALID") throw e
    expect(e.message).toBe(`${path} cannot be used`)
    return e.reason
  }
}

describe("an error in imagelink.toml names the line, the key and what was expected:", () => {
  it.each([
    ["what is no TOML", "nbd-port = 1\ncache = = 2", "line 2, column 9: it is not TOML: "],
    ["a string that does not end", 'address = "10.0.0.1', "line 1, column 11: it is not TOML: "],
    ["a key said twice", "nbd-port = 1\n\nnbd-port = 2", "line 3, column 1: it is not TOML: "],
    ["a misspelt key", '# mine\nadress = "::1"', "line 2: adress: there is no such setting; expected address?"],
    ["a key like none", "colour = 1", "line 1: colour: there is no such setting"],
    ["a wrong type", "\n\nnbd-port = true", 'line 3: nbd-port: expected "off" | number'],
    ["a port past the last", "nbd-port = 65536", "line 1: nbd-port: expected a value between 0 and 65535"],
    ["a word of no list", 'dhcp = "on"', 'line 1: dhcp: expected "full" | "proxy" | "off"'],
    ["a size that is none", '\ncache = "much"', "line 2: cache: expected a size of at least 16M"],
    ["a table's missing key", "[[plugin]]\n[[plugin]]", "line 1: plugin[0].module: is missing"],
    [
      "a table's wrong key",
      '[[subnet]]\nrnage = "a"',
      "line 2: subnet[0].rnage: there is no such setting; expected range?",
    ],
    [
      "the second of two tables",
      "[[subnet]]\n\n[[subnet]]\nlease-seconds = 3",
      "line 4: subnet[1].lease-seconds: expected",
    ],
    ["a table for a value", "[user]\n", "line 1: user: expected array"],
    ["DHCP without an interface", 'address = "10.0.0.1"\ndhcp = "full"', "line 2: dhcp: full needs the interface"],
    ["DHCP's range without DHCP", '\ndhcp-range = "a-b"', "line 2: dhcp-range: says nothing while dhcp is not set"],
    ["a key without its certificate", 'api-key = "a"', "line 1: api-key: a certificate and its key are named together"],
    ["after a text over several lines", 'domain = """\nnbd-port = 1\n"""\nnbd-port = -1', "line 4: nbd-port: "],
  ])("%s", async (_, text, expected) => {
    expect(await said(text)).toContain(expected)
    expect(await said(text.replaceAll("\n", "\r\n"))).toContain(expected)
  })

  it("all of them, in the order of the file", async () => {
    expect(await said('zz = 1\nnbd-port = "x"\n\nadress = 2')).toMatch(
      /^line 1: zz: .*; line 2: nbd-port: .*; line 4: adress: /,
    )
  })

  it("and never what the line holds, which may be a secret in the wrong file", async () => {
    for (const text of [
      'pc-001 = "hunter22"',
      'a = "hunter22',
      "x = hunter22",
      'user = "hunter22"',
      'dhcp = "hunter22"',
    ]) {
      const cause = await said(text)
      expect(cause).toMatch(/^line 1/)
      expect(cause).not.toContain("hunter22")
    }
  })

  it("and accepts an empty file", async () => expect(await said("")).toBe("accepted"))
})

describe("a path in imagelink.toml", () => {
  const text = `boot-files = "boot"
iscsi-secrets = "secrets.toml"
api-cert = "tls/cert.pem"
api-key = "/run/key.pem"
plugin = [{ module = "./tar.ts" }, { module = "imagelink-tar" }]
interface = "eth1"
`
  const whole = (at: string) => ({
    "boot-files": join(at, "boot"),
    "iscsi-secrets": join(at, "secrets.toml"),
    "api-cert": join(at, "tls/cert.pem"),
    "api-key": "/run/key.pem",
    plugin: [{ module: join(at, "tar.ts") }, { module: "imagelink-tar" }],
    interface: "eth1",
  })

  it("is relative to the file, wherever it is named from", async () => {
    const etc = join(folder, "etc")
    mkdirSync(etc)
    writeFileSync(join(etc, "imagelink.toml"), text)
    expect((await readConfigSource(join(etc, "imagelink.toml"))).settings).toEqual(whole(etc))
    expect((await readConfigSource(relative(process.cwd(), join(etc, "imagelink.toml")))).settings).toEqual(whole(etc))
    // as the data folder of an installed service has it
    const data = join(folder, "linked")
    mkdirSync(data)
    symlinkSync("../etc/imagelink.toml", join(data, "imagelink.toml"))
    expect((await readConfigSource(join(data, "imagelink.toml"))).settings).toEqual(whole(etc))
  })

  it("of a flag or a variable is relative to where the command runs, and may be all digits", async () => {
    const shown = await json<ReadonlyArray<Setting>>(["config", "show", "--api-cert", "1", "--api-key", "2"], {
      data: join(folder, "none"),
      env: { IMAGELINK_BOOT_FILES: "3" },
    })
    const of = (key: string) => shown.find((s) => s.key === key)?.value
    expect([of("api-cert"), of("api-key"), of("boot-files")]).toEqual(["1", "2", "3"])
  })
})

describe("the line of a key", () => {
  it("is the first of its statement, counted from 1", () => {
    const lineOf = tomlLines('a = [\n  1,\n  # [b]\n  2,\n]\n\n[[t]]\nx = """\n[[t]]\n"""\ny = { z = 1 }\n[[t]]\nx = 2')
    const paths = [["a"], ["a", 1], ["t"], ["t", 0, "x"], ["t", 0, "y", "z"], ["t", 1], ["t", 1, "x"]]
    expect(paths.map(lineOf)).toEqual([1, 1, 7, 8, 11, 12, 13])
  })

  it("is the table's where the key is missing, and none where nothing is there", () => {
    const lineOf = tomlLines("\n[[t]]\nx = 1")
    expect([lineOf(["t", 0, "y"]), lineOf(["u"]), lineOf([]), tomlLines("")(["a"])]).toEqual([
      2,
      undefined,
      undefined,
      undefined,
    ])
  })
})

interface Setting {
  readonly key: string
  readonly value: unknown
  readonly from: string
}

describe("config show", () => {
  const data = join(folder, "data")
  mkdirSync(data)
  const toml = join(data, "imagelink.toml")
  writeFileSync(
    toml,
    'nbd-port = 1\ncache = "1G"\nhttp-port = 80\nboot-files = "boot"\n\n[[subnet]]\nnetwork = "10.1.0.0/24"\n',
  )
  const env = { IMAGELINK_CACHE: "2G", IMAGELINK_HTTP_PORT: "81", IMAGELINK_TOKEN: "hunter22" }

  it("says of each setting what holds, who said it (default, file and line, environment, flag), and what a server takes a change with", async () => {
    const shown = await json<ReadonlyArray<Setting>>(["config", "show", "--http-port", "82"], { data, env })
    const of = (key: string) => shown.find((s) => s.key === key)
    expect(of("nbd-port")).toEqual({ key: "nbd-port", value: 1, from: `${toml}:1`, applies: "restart" })
    expect(of("cache")).toEqual({ key: "cache", value: "2G", from: "IMAGELINK_CACHE", applies: "restart" })
    expect(of("http-port")).toEqual({ key: "http-port", value: 82, from: "--http-port", applies: "restart" })
    expect(of("boot-files")).toEqual({
      key: "boot-files",
      value: join(data, "boot"),
      from: `${toml}:4`,
      applies: "reload",
    })
    expect(of("subnet")).toEqual({
      key: "subnet",
      value: [{ network: "10.1.0.0/24" }],
      from: `${toml}:6`,
      applies: "reload",
    })
    expect(of("address")).toEqual({ key: "address", value: "127.0.0.1", from: "default", applies: "restart" })
    expect(of("ram")).toEqual({ key: "ram", value: null, from: "default", applies: "restart" })
  })

  it("prints a table without a secret of the environment", async () => {
    const { status, stdout } = await imagelink(["config", "show"], { data, env })
    expect(status).toBe(0)
    expect(stdout).toMatch(/^nbd-port +1 +.*imagelink\.toml:1 +restart$/m)
    expect(stdout).toMatch(/^dhcp +off +default +restart$/m)
    expect(stdout).not.toContain("hunter22")
  })

  it("refuses what serve would refuse, and another server", async () => {
    const bad = await imagelink(["config", "show", "--cache", "1M", "--json"], { data })
    expect([bad.status, refusal(bad).code]).toEqual([2, "CONFIG_INVALID"])
    const other = await imagelink(["config", "show", "--server", "http://127.0.0.1:1", "--json"], { data })
    expect([other.status, refusal(other).code]).toEqual([2, "USAGE"])
  })
})

describe("config check", () => {
  it("accepts a good file, and a file that the environment completes", async () => {
    const path = file('dhcp = "full"\n')
    const alone = await imagelink(["config", "check", path, "--json"])
    expect([alone.status, refusal(alone).cause.startsWith("line 1: dhcp: full needs")]).toEqual([2, true])
    const env = { IMAGELINK_INTERFACE: "eth1" }
    expect(await json(["config", "check", path], { env })).toEqual({ file: path, settings: 1 })
  })

  const loopback = Object.entries(networkInterfaces()).find(([, at]) => at?.[0]?.internal)![0]
  const dhcp = (rest: string) => `interface = "${loopback}"\ndhcp = "full"\n${rest}\n`
  const secretFile = join(folder, "secrets.toml")
  writeFileSync(secretFile, '[[chap]]\nclient = "*"\nuser = "u"\nsecret = "short"\n', { mode: 0o600 })

  it.each([
    [dhcp('dhcp-range = "10.0.0.9-10.0.0.1"'), "line 3: dhcp-range: expected two addresses of the subnet like"],
    [dhcp('dhcp-range = "192.0.2.1-192.0.2.9"'), "line 3: dhcp-range: expected two addresses of the subnet like"],
    [dhcp('dhcp-router = "127.0.0.1, gate"'), 'line 3: dhcp-router: expected an IPv4 address, got "gate"'],
    [
      dhcp('[[subnet]]\nnetwork = "10.1.0.0/24"\n[[subnet]]\nnetwork = "10.2.0.0/24"\nrange = "10.3.0.1-10.3.0.9"'),
      "line 7: subnet[1].range: expected two addresses of the subnet",
    ],
    [dhcp('[[subnet]]\nrange = "10.3.0.1-10.3.0.9"'), "line 3: subnet[0].network: expected a network like 10.1.0.0/24"],
    [
      dhcp('[[firmware]]\nprogram = "a.efi"\nmac = "hello"'),
      "line 5: firmware[0].mac: expected the beginning of a MAC",
    ],
    [
      dhcp('[[firmware]]\nprogram = "a.efi"'),
      "line 3: firmware[0]: expected vendor-class, mac, machine or architecture",
    ],
    ['iscsi-port = 3260\niscsi-moved = "nowhere:x"\n', "line 2: iscsi-moved: expected PORTAL or CLIENT=PORTAL"],
    ['http-port = 80\nboot-files = "none"\n', "line 2: boot-files: there is nothing to serve"],
    ['api-port = 1\napi-address = "10.0.0.1"\n', "line 2: api-address: 10.0.0.1 is not a loopback address"],
    [`iscsi-secrets = "${secretFile}"\n`, "chap 1: a secret of 5 bytes; expected 12 to 255"],
  ])("refuses what only a server's parts can judge, with file, line and key: %j", async (text, cause) => {
    const path = file(text)
    const run = await imagelink(["config", "check", path, "--json"])
    const said = refusal(run)
    expect([run.status, said.code, said.cause]).toEqual([2, "CONFIG_INVALID", expect.stringContaining(cause)])
    expect(said.message).toBe(`${cause.startsWith("chap") ? secretFile : path} cannot be used`)
  })

  it("accepts a range for an interface that this machine has not, because the file may be for another one", async () => {
    const path = file('address = "10.0.0.1"\ninterface = "eth77"\ndhcp = "full"\ndhcp-range = "10.0.0.5-10.0.0.9"\n')
    expect(await json(["config", "check", path])).toEqual({ file: path, settings: 4 })
  })

  it("says of a flag that serve refuses that it is the command line's", async () => {
    const run = await imagelink(
      ["serve", "--json", "--nbd-port", "off", "--http-port", "0", "--boot-files", join(folder, "none")],
      {
        data: join(folder, "refused"),
      },
    )
    expect(refusal(run)).toMatchObject({ code: "CONFIG_INVALID", message: "the command line cannot be used" })
    expect(refusal(run).cause).toMatch(/^boot-files: there is nothing to serve/)
  })

  it("refuses a file that is not there, also the data folder's", async () => {
    for (const args of [
      ["config", "check", join(folder, "none.toml"), "--json"],
      ["config", "check", "--json"],
    ]) {
      const run = await imagelink(args, { data: join(folder, "none") })
      expect([run.status, refusal(run).code]).toEqual([2, "CONFIG_INVALID"])
      expect(refusal(run).cause).toContain("no such file")
    }
  })
})
