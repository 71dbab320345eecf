/**
 * Power on a PC without a disk on a network where another server gives the addresses: dnsmasq knows nothing of booting, and Imagelink of nothing else.
 *
 * **Details** Both iPXE and OVMF take the boot file from the offer (Intel PXE 2.1 §2.1); firmware that asks again at port 4011 gets the same there.
 */
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { decode, encode } from "../../adapters/dhcp/message.ts"
import { message, sends } from "../dhcp/support/messages.ts"
import { bootableImage, bootsSaid, ENDED_STATUS } from "../support/boot-sector.ts"
import { imagelink, lastBoot, type Served, scratch, startServe } from "../support/cli.ts"
import { efiImage, requiresEfi } from "../support/efi-program.ts"
import { type MachineInput, requiresMachine, runMachine } from "../support/machine.ts"
import {
  advertiseRouter,
  makeNetwork,
  type Network,
  requiresNetwork,
  runBounded,
  runOtherServer,
  SERVER,
} from "../support/network.ts"
import { requires } from "../support/requires.ts"

const spec = "machines-proxy.spec.ts"
const needs = [requiresNetwork(spec), requiresMachine(spec, "uefi"), ...requiresEfi(spec)]
const skip = [...needs, requires("dnsmasq", "dnsmasq-base", spec)].some((n) => n.skip)
const folder = scratch("proxy")
const data = join(folder, "data")
let server: Served | undefined
let network: Network
let other: () => string
if (!skip) network = makeNetwork()

const ok = async (...args: ReadonlyArray<string>) => {
  const { status, stderr } = await imagelink(args, { data })
  expect(status, `imagelink ${args.join(" ")}: ${stderr}`).toBe(0)
}

beforeAll(async () => {
  if (skip) return
  bootableImage(join(folder, "bios.raw"), { label: "bios" })
  efiImage(join(folder, "uefi.raw"), { label: "uefi" })
  for (const [n, name] of ["bios", "uefi"].entries()) {
    await ok("image", "add", name, join(folder, `${name}.raw`))
    await ok("client", "add", `52:54:00:00:00:0${n}`, "--name", name)
    await ok("client", "link", name, name)
  }
  await advertiseRouter(network)
  other = await runOtherServer(network)
  const dhcp = ["--address", SERVER, "--interface", "br0", "--dhcp", "proxy"]
  const rest = ["--tftp-port", "69", "--http-port", "0", "--iscsi-port", "3260", "--log-level", "debug"]
  server = await startServe(data, [...dhcp, ...rest], { inside: network.inside })
}, 120_000)
afterAll(() => server?.stop())

const boot = async (firmware: MachineInput["firmware"]) => {
  const mac = `52:54:00:00:00:0${firmware === "bios" ? 0 : 1}`
  const { status, serial } = await runMachine({ folder, network, mac, firmware, seconds: 100 })
  const log = server?.log() ?? []
  expect(status, `${serial}\n${log.join("\n")}\n${other()}`).toBe(ENDED_STATUS)
  const answers = log.filter((line) => line.startsWith(`dhcp ${mac}: `))
  return { booted: bootsSaid(serial, firmware), answers: answers.map((line) => line.replace(/.*: /, "")) }
}

describe.skipIf(skip)("beside a server that gives the addresses", () => {
  it("a PC with BIOS boots by what it is offered", async () => {
    const { booted, answers } = await boot("bios")
    expect([booted, [...new Set(answers)]]).toEqual([[0], ["offer to 255.255.255.255:68"]])
    expect(other()).toMatch(/DHCPACK\S* 10\.77\.0\.\d\d 52:54:00:00:00:00/)
  }, 240_000)

  it("a PC with UEFI boots by the same, and so does the iPXE that it is given", async () => {
    const { booted, answers } = await boot("uefi")
    expect([booted, [...new Set(answers)]]).toEqual([[0], ["offer to 255.255.255.255:68"]])
    // Its own requests to the other server say which address its boot program goes to.
    const stages = (await lastBoot(data, "52:54:00:00:00:01"))?.stages as ReadonlyArray<{ readonly name: string }>
    expect(stages.map(({ name }) => name)).toEqual(["offer", "tftp", "ipxe", "script", "login", "first read"])
  }, 240_000)

  it("firmware that asks at port 4011 is answered there, from there", async () => {
    const inside = network.client("52:54:00:00:00:09")
    await runBounded([...inside, "ip", "addr", "add", "10.77.0.99/24", "dev", "eth0"], 10)
    const asked = encode(
      message({ type: "request", mac: "52:54:00:00:00:01", ciaddr: "10.77.0.99", options: sends.uefiPxe }),
    )
    const { output } = await runBounded([...inside, process.execPath, "-e", ASK_4011, asked.toString("hex")], 20)
    const { from, answer } = JSON.parse(output) as { readonly from: string; readonly answer: string }
    const decoded = decode(Buffer.from(answer, "hex"))
    expect([from, decoded.ok && decoded.message.file]).toEqual([`${SERVER}:4011`, "snponly.efi"])
  })
})

/** Sends a message as OVMF does (captured: from port 4011), and prints the answer. */
const ASK_4011 = `
  const socket = require("node:dgram").createSocket("udp4")
  socket.on("message", (bytes, { address, port }) => {
    console.log(JSON.stringify({ from: address + ":" + port, answer: bytes.toString("hex") }))
    socket.close()
  })
  socket.bind(4011, () => socket.send(Buffer.from(process.argv[1], "hex"), 4011, "${SERVER}"))
`
