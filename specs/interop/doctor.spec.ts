/**
 * `imagelink doctor` on a network of its own: a healthy site raises no alarm, and each planted fault is found by its code, with its fix, and by no other.
 *
 *     namespace ─ br0 10.77.0.1/24 (server, doctor) ── veth ── namespace of PC-001, 10.77.0.11
 */
import { execFileSync, spawn } from "node:child_process"
import { mkdirSync, renameSync, truncateSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest"
import { events, imagelink, json, type Served, scratch, startServe } from "../support/cli.ts"
import { bootProgram, bootSector, type Diagnosis, examine, found, judge } from "../support/doctor.ts"
import { makeNetwork, requiresNetwork, runOtherServer, SERVER } from "../support/network.ts"
import { requires } from "../support/requires.ts"

const SPEC = "doctor.spec.ts"
const network = requiresNetwork(SPEC)
const tools = [
  requires("nft", "nftables", SPEC),
  requires("dnsmasq", "dnsmasq-base", SPEC),
  requires("unshare", "util-linux", SPEC),
  requires("prlimit", "util-linux", SPEC),
]
const skip = network.skip || tools.some((tool) => tool.skip)
const folder = scratch("doctor")
const data = join(folder, "data")
const bootFiles = join(folder, "boot files")
const image = join(folder, "win11.raw")
const PC = "10.77.0.11"
let lan: ReturnType<typeof makeNetwork>
let pc: ReadonlyArray<string>
if (!skip) lan = makeNetwork()

const settings = [
  ...["--address", SERVER, "--interface", "br0", "--dhcp", "full", "--boot-files", bootFiles],
  ...["--tftp-port", "69", "--http-port", "8080", "--iscsi-port", "3260", "--nbd-port", "off"],
]

const ok = async (...args: ReadonlyArray<string>): Promise<void> => {
  const { status, stderr } = await imagelink(args, { data })
  expect({ status, stderr }).toEqual({ status: 0, stderr: expect.anything() })
}

beforeAll(async () => {
  if (skip) return
  mkdirSync(bootFiles)
  writeFileSync(join(bootFiles, "undionly.kpxe"), Buffer.alloc(70_001, 7))
  writeFileSync(join(bootFiles, "snponly.efi"), bootProgram("1.21.1+git20231006.3b4d0cb9"))
  writeFileSync(image, bootSector())
  truncateSync(image, 2 ** 20)
  writeFileSync(join(folder, "empty.raw"), Buffer.alloc(2 ** 20))
  await ok("image", "add", "win11", image)
  await ok("image", "add", "empty", join(folder, "empty.raw"))
  await ok("client", "add", "52:54:00:00:00:01", "--name", "PC-001", "--ip", PC)
  await ok("client", "add", "52:54:00:00:00:02", "--name", "PC-002", "--ip", "10.77.0.12")
  await ok("client", "link", "PC-001", "win11")
  await ok("client", "link", "PC-002", "empty")
  pc = lan.client("52:54:00:00:00:01")
  ip("addr", "add", `${PC}/24`, "dev", "eth0")
}, 120_000)

/** In the PC's namespace. */
const ip = (...args: ReadonlyArray<string>) => execFileSync(pc[0]!, [...pc.slice(1), "ip", ...args])
const namespace = () => pc.at(-1)!

/** PC-001 boots in its namespace, reads and writes, and says in the end what it reads then. */
const powerOn = async () => {
  const program = `
    import { connectIscsi } from ${JSON.stringify(fileURLToPath(new URL("../../adapters/iscsi/client.ts", import.meta.url)))}
    const script = await (await fetch("http://${SERVER}:8080/boot/52-54-00-00-00-01.ipxe")).text()
    const target = /iscsi:[^:]*:[^:]*:[^:]*:[^:]*:(\\S+)/.exec(script)[1]
    const disk = await connectIscsi({ host: "${SERVER}", port: 3260, target })
    await disk.read(0, 512)
    const block = Buffer.alloc(512)
    block.write("what it wrote")
    await disk.write(4096, block)
    console.log("runs")
    process.stdin.once("data", async () => {
      console.log((await disk.read(4096, 13 * 512)).toString("latin1", 0, 13))
      disk.destroy()
      process.exit(0)
    })`
  const [file, ...args] = [...pc, process.execPath, "--conditions=source", "--input-type=module", "--eval", program]
  const child = spawn(file!, args, { stdio: ["pipe", "pipe", "inherit"] })
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]()
  expect((await lines.next()).value).toBe("runs")
  return {
    async off(): Promise<string> {
      child.stdin.write("now")
      return (await lines.next()).value as string
    },
  }
}

let mounts = 0

describe.skipIf(skip)("without a server,", () => {
  /** The whole doctor, but for what a running server is needed for. */
  const alarmsOf = async (alarms: ReadonlyArray<string>, args: ReadonlyArray<string>, more = {}, at = data) => {
    const diagnosis = await examine([...settings, ...args], { data: at, inside: lan.inside, ...more })
    judge(diagnosis, alarms)
    return diagnosis
  }

  it("a healthy site raises no alarm", () => alarmsOf([], []))

  it("an interface that is not there, one that is down, and an address that it has not are found", async () => {
    const missing = await alarmsOf(["fail INTERFACE_MISSING"], ["--interface", "eth9"])
    expect(found(missing, "INTERFACE_MISSING").error.cause).toContain("br0")
    execFileSync(lan.inside[0]!, [...lan.inside.slice(1), "ip", "link", "add", "down0", "type", "bridge"])
    await alarmsOf(["fail INTERFACE_DOWN"], ["--interface", "down0"])
    const wrong = await alarmsOf(["fail ADDRESS_MISSING"], ["--address", "10.77.0.9"])
    expect(found(wrong, "ADDRESS_MISSING").error.cause).toContain(`it has ${SERVER}, and`)
  })

  it("a data folder that may not be written is found", async () => {
    const denied = await examine(["--only", "data folder"], { data, uid: 65_534 })
    judge(denied, ["fail DATA_ACCESS_DENIED"])
    expect(found(denied, "DATA_ACCESS_DENIED").error.message).toContain(data)
  })

  it("a disk that is nearly full, one in RAM, and a file system without holes are found", async () => {
    const mounted = (mount: string) => {
      const at = join(folder, `mount-${mounts++}`)
      mkdirSync(at)
      const script = `mount ${mount} "$0" && cp -a "$1/." "$0" && shift && exec "$@"`
      return { at, inside: [...lan.inside, "unshare", "-m", "sh", "-c", script, at, data] }
    }
    const small = mounted("-t tmpfs -o size=8m tmpfs")
    const full = await alarmsOf(
      ["fail DISK_NEARLY_FULL", "warn FILE_SYSTEM_VOLATILE"],
      ["--overlay-reserve", "8M"],
      { inside: small.inside },
      small.at,
    )
    expect(found(full, "DISK_NEARLY_FULL").error.cause).toContain("8.0 MiB")
    const plain = mounted("-t ramfs ramfs")
    const lacks = await alarmsOf(
      ["warn FILE_SYSTEM_VOLATILE", "warn FILE_SYSTEM_LACKS"],
      [],
      { inside: plain.inside },
      plain.at,
    )
    expect(found(lacks, "FILE_SYSTEM_LACKS").error.message).toContain("holes that are punched")
  })

  it("a low bound on open files is found", async () => {
    const inside = [...lan.inside, "prlimit", "--nofile=256:256"]
    const diagnosis = await alarmsOf(["fail LIMIT_LOW"], [], { inside })
    expect(found(diagnosis, "LIMIT_LOW").error.fix).toContain("LimitNOFILE=1024")
  })

  it("settings that do not hold together are found", async () => {
    const file = join(folder, "wrong.toml")
    writeFileSync(file, "adress = 1\n")
    const diagnosis = await examine(["--config", file], { data, inside: lan.inside })
    judge(diagnosis, ["fail CONFIG_INVALID"])
    expect(found(diagnosis, "CONFIG_INVALID").error.cause).toContain("expected address?")
  })

  it("a check, a client or a namespace that is none is refused, and so is a server elsewhere", async () => {
    const refused = async (...args: ReadonlyArray<string>) => (await imagelink(["doctor", ...args], { data })).status
    expect(await refused("--only", "luck")).toBe(2)
    expect(await refused("--server", "http://127.0.0.1:1")).toBe(2)
    const nowhere = await examine(["--from", "no-such-namespace", "--only", "iscsi"], { data })
    judge(nowhere, ["fail CLIENT_SIDE_FAILED"])
  })
})

describe.skipIf(skip)("with a server,", () => {
  let server: Served
  beforeAll(async () => {
    server = await startServe(data, settings, { inside: lan.inside })
  }, 60_000)
  afterAll(() => server?.stop())

  const here = (...args: ReadonlyArray<string>) => examine([...settings, ...args], { data, inside: lan.inside })
  const there = (...args: ReadonlyArray<string>) =>
    examine([...settings, "--from", namespace(), "--only", "dhcp,tftp,script,iscsi", ...args], {
      data,
      inside: lan.inside,
    })
  const nft = (command: string) => execFileSync(lan.inside[0]!, [...lan.inside.slice(1), "nft", command])
  const dropping = async <A>(rules: ReadonlyArray<string>, use: () => Promise<A>): Promise<A> => {
    nft("add table inet spec; add chain inet spec input { type filter hook input priority 0; policy accept; }")
    for (const rule of rules) nft(`add rule inet spec input ${rule}`)
    return use().finally(() => nft("delete table inet spec"))
  }
  const client = ({ findings }: Diagnosis) =>
    findings.filter(({ side }) => side === "client").map(({ check, state, text }) => `${state} ${check}: ${text}`)

  it("a healthy site raises no alarm, from loopback and from the PC's place", async () => {
    const whole = [
      `pass dhcp: ${PC}, undionly.kpxe from ${SERVER}`,
      `pass dhcp: ${PC}, snponly.efi from ${SERVER}`,
      `pass dhcp: ${PC}, http://${SERVER}:8080/boot/52-54-00-00-00-01.ipxe`,
      expect.stringMatching(/^pass dhcp: no other DHCP server on (br0|eth0)$/),
      "pass tftp: 70001 bytes, with options and without",
      expect.stringMatching(/^pass tftp: \d+ bytes, with options and without$/),
      `pass script: boots win11@1, by http://${SERVER}:8080/boot/52-54-00-00-00-01.ipxe`,
      "pass iscsi: iqn.2026-11.io.imagelink:pc-001 is shown",
      "pass iscsi: login, and LBA 0 is read: a boot sector",
    ]
    // It says by itself what it was told.
    const near = await examine(["--as", "PC-001"], { data, inside: lan.inside })
    judge(near, [])
    expect(client(near)).toEqual(whole)
    const ports = near.findings.filter(({ check, state }) => check === "ports" && state === "pass")
    expect(ports.map(({ text }) => text)).toEqual(
      Array(5).fill(`our own running server has it (process ${server.pid})`),
    )
    const far = await there("--as", "PC-001")
    judge(far, [])
    expect(client(far)).toEqual(whole)
  }, 60_000)

  it("a PC that runs is not disturbed: its session and its writes stay, and nothing is recorded", async () => {
    const running = await powerOn()
    const now = async () => {
      const { clients } = await json<{ clients: ReadonlyArray<{ client: string; state: string }> }>(["status"], {
        data,
      })
      return { state: clients.find((c) => c.client === "PC-001")!.state, events: (await events(data)).length }
    }
    await vi.waitFor(async () => expect((await events(data)).at(-1)!.type).toBe("ClientBooted"), 20_000)
    const before = await now()
    expect(before.state).toBe("running")
    for (const look of [here, there]) judge(await look("--as", "PC-001", "--only", "dhcp,script,iscsi"), [])
    expect(await now()).toEqual(before)
    expect(await running.off()).toBe("what it wrote")
  }, 60_000)

  it("a firewall that drops what PCs send is found from both sides", async () => {
    const rules = ["tcp dport 3260 drop", "iifname br0 udp dport { 67, 69 } drop", "iifname br0 tcp dport 8080 reject"]
    await dropping(rules, async () => {
      const near = await here("--only", "firewall")
      judge(near, ["fail FIREWALL_DROPS"])
      const causes = near.findings.flatMap(({ subject, error }) =>
        error === undefined ? [] : [[subject, error.cause]],
      )
      expect(causes).toEqual([
        ["dhcp 67/udp", "by the rule: inet spec input: iifname br0 udp dport { 67, 69 } drop"],
        ["tftp 69/udp", "by the rule: inet spec input: iifname br0 udp dport { 67, 69 } drop"],
        ["http 8080/tcp", "by the rule: inet spec input: iifname br0 tcp dport 8080 reject"],
        ["iscsi 3260/tcp", "by the rule: inet spec input: tcp dport 3260 drop"],
      ])
      const silent = ["fail DHCP_SILENT", "fail TFTP_SILENT", "fail SCRIPT_UNREACHABLE", "fail ISCSI_UNREACHABLE"]
      judge(await there("--as", "PC-001"), silent)
    })
  }, 60_000)

  it("a PC whose script leads nowhere is told of, with what its screen would say", async () => {
    renameSync(image, `${image}.gone`)
    try {
      const far = await there("--as", "PC-001", "--only", "script,iscsi")
      judge(far, ["fail SCRIPT_REFUSES", "fail DISK_UNREADABLE"])
      const { cause, fix } = found(far, "SCRIPT_REFUSES").error
      expect(found(far, "SCRIPT_REFUSES").error.message).toContain("IMAGE_FILE_NOT_FOUND")
      expect([cause, fix].join(" ")).toContain("win11.raw")
    } finally {
      renameSync(`${image}.gone`, image)
      // It came back with another time of change, and is known again once it was read.
      await ok("image", "check", "win11")
    }
  }, 60_000)

  it("a PC whose image was spoilt behind the server's back reads nothing of it, and is told of", async () => {
    const spoilt = join(folder, "spoilt.raw")
    writeFileSync(spoilt, bootSector())
    await ok("image", "add", "spoilt", spoilt)
    await ok("client", "add", "52:54:00:00:00:03", "--name", "PC-003")
    await ok("client", "link", "PC-003", "spoilt")
    judge(await here("--as", "PC-003", "--only", "iscsi,images"), [])
    writeFileSync(spoilt, Buffer.alloc(512, 0xff))
    judge(await here("--as", "PC-003", "--only", "iscsi,images"), ["fail IMAGE_CHANGED", "fail DISK_UNREADABLE"])
    await ok("client", "remove", "PC-003")
    await ok("image", "remove", "spoilt")
  }, 60_000)

  it("a disk whose first block is no boot sector is found", async () => {
    judge(await here("--as", "PC-002", "--only", "iscsi"), ["warn DISK_NOT_BOOTABLE"])
  }, 60_000)

  it("a PC at another's address is refused, and doctor says so", async () => {
    judge(await there("--as", "PC-002", "--only", "script,iscsi"), ["fail SCRIPT_REFUSES", "fail ISCSI_REFUSED"])
  }, 60_000)

  it("settings that the running server does not have are found", async () => {
    const api = ["--api-port", "8443", "--only", "ports"]
    const diagnosis = await here(...api)
    judge(diagnosis, ["warn NOT_SERVED"])
    expect(found(diagnosis, "NOT_SERVED").subject).toContain("api")
  }, 60_000)

  it("a second DHCP server is found by its address, from both sides", async () => {
    await runOtherServer(lan)
    for (const look of [here, there]) {
      const diagnosis = await look("--as", "PC-001", "--only", "dhcp")
      judge(diagnosis, ["fail DHCP_OTHER_SERVER"])
      expect(found(diagnosis, "DHCP_OTHER_SERVER").error.message).toContain("10.77.0.2")
    }
  }, 60_000)
})
