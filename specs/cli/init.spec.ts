/** `imagelink init` writes settings that hold together, from flags or from what is answered on a terminal, and overwrites nothing. */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { parse } from "smol-toml"
import { describe, expect, it } from "vitest"
import { type Answers, cardOf, cards, dhcpMode, rangeIn } from "../../adapters/cli/init/answers.ts"
import { fileText } from "../../adapters/cli/init/file-text.ts"
import { effectiveConfig } from "../../core/runtime/config.ts"
import { decodeConfig } from "../../core/runtime/config-reading.ts"
import { imagelink, json, refusal, scratch } from "../support/cli.ts"
import { requires } from "../support/requires.ts"

const folder = scratch("init")
const usual: Answers = {
  interface: undefined,
  address: "127.0.0.1",
  dhcp: "off",
  range: undefined,
  bootFiles: undefined,
}
const settingsOf = (text: string) => effectiveConfig([{ from: "init", settings: decodeConfig("init", parse(text)) }])

describe("the file", () => {
  it("holds every answer, and settings that a server accepts", () => {
    const full = { ...usual, interface: "eth1", address: "10.0.0.1", dhcp: "full", range: "10.0.0.2-10.0.0.9" } as const
    const config = settingsOf(fileText({ ...full, bootFiles: '/srv/a "boot" \\ folder' }))
    expect(config).toMatchObject({ address: "10.0.0.1", tftpPort: 69, httpPort: 8080, iscsiPort: 3260 })
    expect(config).toMatchObject({ bootFiles: '/srv/a "boot" \\ folder', registration: "closed" })
    expect(config.dhcp).toMatchObject({ mode: "full", interface: "eth1", own: { range: "10.0.0.2-10.0.0.9" } })
  })

  it("shows as comments what was not chosen; uncommented, that is accepted too", () => {
    const text = fileText(usual)
    expect(settingsOf(text)).toMatchObject({ address: "127.0.0.1", dhcp: undefined })
    const whole = text.replaceAll(/^# ([a-z-]+ = )/gm, "$1")
    expect(Object.keys(parse(whole))).toEqual(expect.arrayContaining(["interface", "dhcp-range", "boot-files"]))
    expect(settingsOf(whole)).toMatchObject({ bootFiles: "/usr/lib/ipxe" })
  })
})

describe("an answer", () => {
  it.each([
    ["10.0.0.1/24", "10.0.0.0-10.0.0.255", true],
    ["10.0.0.1/24", " 10.0.0.9 - 10.0.0.9 ", true],
    ["10.0.0.1/24", "10.0.0.9-10.0.0.8", false],
    ["10.0.0.1/24", "10.0.0.9-10.0.1.0", false],
    ["10.0.0.1/24", "9.255.255.255-10.0.0.9", false],
    ["10.0.0.1/24", "10.0.0.9", false],
    ["10.0.0.1/24", "10.0.0.9-", false],
    ["10.0.0.1/24", "10.0.0.1-10.0.0.2-10.0.0.3", false],
    ["255.255.255.254/31", "255.255.255.254-255.255.255.255", true],
    ["10.0.0.1/0", "0.0.0.0-255.255.255.255", true],
  ])("in %s lends %s: %s", (cidr, range, accepted) => {
    if (accepted) expect(rangeIn(cidr, range)).toBe(range.replaceAll(" ", ""))
    else expect(() => rangeIn(cidr, range)).toThrow(`dhcp-range: expected two addresses of ${cidr}`)
  })

  it("is an interface with an IPv4 address, by its first, and no loopback", () => {
    const of = (address: string, family: "IPv4" | "IPv6", internal = false) =>
      ({ address, family, internal, cidr: `${address}/24`, netmask: "", mac: "" }) as never
    const known = cards({
      lo: [of("127.0.0.1", "IPv4", true)],
      eth0: [of("fe80::1", "IPv6")],
      eth1: [of("fe80::2", "IPv6"), of("10.0.0.1", "IPv4"), of("10.0.0.2", "IPv4")],
    })
    expect(known).toEqual([{ name: "eth1", address: "10.0.0.1", cidr: "10.0.0.1/24" }])
    expect(cardOf("eth1", known)).toBe(known[0])
    for (const name of ["lo", "eth0", ""]) expect(() => cardOf(name, known)).toThrow("eth1 (10.0.0.1)")
    expect(() => cardOf("eth1", [])).toThrow("there are: none")
    expect(() => dhcpMode("on")).toThrow("expected full, proxy or off")
  })
})

describe("for scripts", () => {
  it("makes the folder and the file, and config check accepts it", async () => {
    const data = join(folder, "new", "data")
    const file = join(data, "imagelink.toml")
    const boot = join(folder, "boot")
    mkdirSync(boot)
    expect(await json(["init", "--yes", "--boot-files", boot], { data })).toMatchObject({ file, bootFiles: boot })
    expect(await json(["config", "check"], { data })).toMatchObject({ file })
    expect(readFileSync(file, "utf8")).toBe(fileText({ ...usual, bootFiles: boot }))
  })

  it("refuses to overwrite, and replaces where that is asked for", async () => {
    const data = join(folder, "there")
    mkdirSync(data)
    writeFileSync(join(data, "imagelink.toml"), "# mine\n")
    const refused = await imagelink(["init", "--yes", "--json"], { data })
    expect([refused.status, refusal(refused).code]).toEqual([1, "FILE_EXISTS"])
    expect(readFileSync(join(data, "imagelink.toml"), "utf8")).toBe("# mine\n")
    await json(["init", "--yes", "--force"], { data })
    expect(readFileSync(join(data, "imagelink.toml"), "utf8")).toBe(fileText(usual))
  })

  it.each([
    ["without a terminal and --yes", [], "there is no terminal"],
    ["an interface that is not there", ["--yes", "--interface", "no-such0"], "there is no interface no-such0"],
    ["DHCP without an interface", ["--yes", "--dhcp", "proxy"], "dhcp needs the interface"],
    ["a range without DHCP", ["--yes", "--dhcp-range", "10.0.0.2-10.0.0.3"], "dhcp-range is for dhcp full only"],
    ["boot files that are no folder", ["--yes", "--boot-files", import.meta.filename], "there is no folder"],
    ["a server elsewhere", ["--yes", "--server", "http://127.0.0.1:1"], "a file of this machine"],
  ])("refuses %s, and writes nothing", async (_, args, why) => {
    const data = join(folder, "refused")
    const refused = await imagelink(["init", "--json", ...args], { data })
    expect([refused.status, refusal(refused).code]).toEqual([2, "USAGE"])
    expect(refusal(refused).message).toContain(why)
    expect(existsSync(data)).toBe(false)
  })

  it("says where it could not write", async () => {
    const refused = await imagelink(["init", "--yes", "--json"], { data: import.meta.filename })
    expect([refused.status, refusal(refused).code]).toEqual([1, "IO_ERROR"])
  })
})

describe("on a terminal", () => {
  const script = requires("script", "bsdutils")
  const main = join(import.meta.dirname, "../../adapters/cli/main.ts")
  const asksMillisMax = 40_000

  /** Answers prompt after prompt, and then nothing: null ends the input. */
  const answered = async (cwd: string, answers: ReadonlyArray<string | null>) => {
    mkdirSync(cwd, { recursive: true })
    const { IMAGELINK_DATA: _, ...env } = process.env
    const command = `'${process.execPath}' --conditions=source '${main}' init`
    const child = spawn("script", ["-qec", command, "/dev/null"], { cwd, env: { ...env, TERM: "dumb" } })
    const late = setTimeout(() => child.kill("SIGKILL"), asksMillisMax)
    let said = ""
    let given = 0
    child.stdout.on("data", (chunk: Buffer) => {
      said += chunk
      for (; given < said.split("]: ").length - 1 && given < answers.length; given++)
        child.stdin.write(answers[given] === null ? "\x04" : `${answers[given]}\n`)
    })
    const [status] = (await once(child, "close")) as [number | null]
    clearTimeout(late)
    return { status, said }
  }

  it.skipIf(script.skip)("takes what is answered, and what is usual for an empty line", async () => {
    const cwd = join(folder, "asked")
    const { status, said } = await answered(cwd, ["mine", "", ""])
    expect(status, said).toBe(0)
    expect(said).toContain("Interface that PCs are on")
    expect(readFileSync(join(cwd, "mine", "imagelink.toml"), "utf8")).toBe(fileText(usual))
  })

  it.skipIf(script.skip)("writes nothing when it is left", async () => {
    const cwd = join(folder, "left")
    const { status, said } = await answered(cwd, ["mine", null])
    expect([status, said.includes("nothing is written")]).toEqual([2, true])
    expect(existsSync(join(cwd, "mine"))).toBe(false)
  })
})
