/** The service of examples/systemd: systemd accepts it, little of the system is exposed to it, and its capabilities are enough for a server that is not root. */
import { execFileSync } from "node:child_process"
import { chmodSync, chownSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { afterAll, describe, expect, it } from "vitest"
import { imagelink, json, type Served, scratch, startServe } from "../support/cli.ts"
import { makeNetwork, requiresNetwork, SERVER } from "../support/network.ts"
import { requires } from "../support/requires.ts"

const root = join(import.meta.dirname, "../..")
const example = join(root, "examples/systemd")
const read = (file: string) => readFileSync(join(example, file), "utf8")
const unit = read("imagelink.service")
const folder = scratch("systemd")
const run = (command: string, ...args: ReadonlyArray<string>): string =>
  execFileSync("sh", ["-c", '"$@" 2>&1', "sh", command, ...args], { encoding: "utf8", timeout: 30_000 })

const settingsOf = (key: string): ReadonlyArray<string> =>
  [...unit.matchAll(new RegExp(`^${key}=(.*)$`, "gm"))].map(([, value]) => value!)

describe("the unit", () => {
  // verify looks for the program, so it is told where this one is
  const here = join(folder, "imagelink.service")
  writeFileSync(here, unit.replace("/usr/bin/imagelink", join(root, "bin/imagelink")))
  const analyze = requires("systemd-analyze", "systemd")

  it.skipIf(analyze.skip)("is accepted by systemd without a warning", () => {
    expect(run("systemd-analyze", "verify", "--man=no", here)).not.toContain("imagelink")
  })

  it.skipIf(analyze.skip)("exposes little: at most 2.5 of 10 as systemd counts", () => {
    expect(run("systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=25", here)).toContain(
      "Overall exposure level for imagelink.service",
    )
  })

  it("runs as imagelink, with one capability and one folder to write to", () => {
    expect(["User", "Group", "StateDirectory", "ProtectSystem", "NoNewPrivileges"].map(settingsOf)).toEqual([
      ["imagelink"],
      ["imagelink"],
      ["imagelink"],
      ["strict"],
      ["yes"],
    ])
    const one = ["CAP_NET_BIND_SERVICE"]
    expect([settingsOf("AmbientCapabilities"), settingsOf("CapabilityBoundingSet")]).toEqual([one, one])
    expect(settingsOf("ReadWritePaths")).toEqual([])
  })

  it("starts a command that there is, with settings that are accepted", async () => {
    const [, verb, option, file] = settingsOf("ExecStart")[0]!.split(" ")
    expect([verb, option, file]).toEqual(["serve", "--config", "/etc/imagelink/imagelink.toml"])
    const toml = join(example, "imagelink.toml")
    expect(await json(["config", "check", toml])).toEqual({ file: toml, settings: 9 })
  })
})

describe("the user and the folders", () => {
  const at = join(folder, "root")
  mkdirSync(join(at, "etc"), { recursive: true })
  const sysusers = requires("systemd-sysusers", "systemd")
  it.skipIf(sysusers.skip)("are made once, and again without a change", () => {
    for (let time = 1; time <= 2; time++) {
      run("systemd-sysusers", `--root=${at}`, join(example, "imagelink.sysusers"))
      expect(readFileSync(join(at, "etc/passwd"), "utf8")).toMatch(
        /^imagelink:x:\d+:\d+:[^:]+:\/var\/lib\/imagelink:\/usr\/sbin\/nologin\n$/,
      )
      expect(readFileSync(join(at, "etc/group"), "utf8")).toMatch(/^imagelink:x:\d+:\n$/)
    }
  })

  it("are the unit's", () => {
    expect(read("imagelink.tmpfiles").split("\n").slice(1, 3)).toEqual([
      "d /etc/imagelink 0750 root imagelink -",
      "d /var/lib/imagelink 0750 imagelink imagelink -",
    ])
    expect(settingsOf("Environment")).toEqual(["IMAGELINK_DATA=/var/lib/imagelink"])
  })
})

describe("as another user than root", () => {
  const network = requiresNetwork("systemd.spec.ts")
  const setpriv = requires("setpriv", "util-linux")
  const skip = network.skip || setpriv.skip
  const NOBODY = 65_534
  const running: Array<Served> = []
  const lan = skip ? undefined : makeNetwork()
  afterAll(() => Promise.all(running.map((server) => server.stop())))

  /** Words that run a command as the unit does, with so many of its capabilities. */
  const asNobody = (capabilities: ReadonlyArray<string>): ReadonlyArray<string> => {
    const only = ["-all", ...capabilities.map((name) => `+${name.replace("CAP_", "").toLowerCase()}`)].join(",")
    const ids = [`--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups", "--no-new-privs"]
    return [...lan!.inside, "setpriv", ...ids, `--bounding-set=${only}`, `--inh-caps=${only}`, `--ambient-caps=${only}`]
  }
  const dataOf = (name: string): string => {
    const data = join(folder, name)
    mkdirSync(join(data, "boot"), { recursive: true })
    chmodSync(data, 0o750)
    chownSync(data, NOBODY, NOBODY)
    return data
  }
  const flags = ["--address", SERVER, "--interface", "br0", "--dhcp", "full", "--tftp-port", "69", "--nbd-port", "off"]

  it.skipIf(skip)(
    "serves DHCP, kept to its interface, and TFTP on their own ports with the unit's capabilities",
    async () => {
      // Beside an interface that it is to be kept from, it is refused where it cannot be.
      lan!.bridge("br1", "10.78.0.1/24")
      const capabilities = settingsOf("AmbientCapabilities")[0]!.split(" ")
      const server = await startServe(dataOf("with"), flags, { inside: asNobody(capabilities) })
      running.push(server)
      expect(server.listeners).toMatchObject({ tftp: `${SERVER}:69` })
      expect(readFileSync(`/proc/${server.pid}/status`, "utf8")).toMatch(/^Uid:\t65534\t65534\t65534\t65534$/m)
      expect(JSON.stringify(server.listeners)).toContain(":67")
    },
  )

  it.skipIf(skip)("is refused those ports without them", async () => {
    const { status, stderr } = await imagelink(["serve", "--json", ...flags], {
      data: dataOf("without"),
      inside: asNobody([]),
    })
    expect([status, stderr.includes("LISTEN_FAILED"), stderr.includes("EACCES")]).toEqual([1, true, true])
  })
})
