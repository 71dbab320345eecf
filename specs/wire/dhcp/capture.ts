/**
 * Captures what real DHCP clients send, and writes each as a file beside this one.
 *
 *     node --conditions=source specs/wire/dhcp/capture.ts [NAME…]   needs root, iproute2, udhcpc, qemu-system-x86, ipxe-qemu, ovmf, ipxe, dnsmasq-base; eleven minutes
 *     IMAGELINK_PLAIN_ROM=FILE node …                                 the ROM of a network card that is no iPXE as well; two minutes
 *
 * **Details** Clients run in a network namespace without a way out, with QEMU's iPXE ROM (BIOS) and OVMF's own network stack (UEFI). They are answered by the pure
 * part of ours, so that they go on to the REQUEST; what they are told is not in the files. A line is a message: the port it came to and its bytes, in
 * hexadecimal. For `ovmf-boot-server`, port 67 answers as a DHCP server that says `PXEClient` and names no boot file, so that it asks port 4011. Where firmware is to be followed, nothing is served over TFTP or HTTP, so that it goes on to its next way of booting. Where a boot program of the
 * distribution's `ipxe` is, dnsmasq serves that, and its own messages alone are kept: OVMF begins `snponly.efi`; the ROM is itself an iPXE, whose script begins `undionly.kpxe`.
 * For `plain-rom-proxy` one server gives the address and another is a ProxyDHCP that names no file; for `plain-rom-menu` that one has a boot menu of one entry.
 *
 * **Plain ROM** A BIOS ROM for a virtio card that does not say that it is iPXE, which stands for a card's PXE code in what it sends and how it goes on, not for the
 * quirks of a vendor. It was built of iPXE 36a4c85 (Debian's), target `bin/1af41000.rom`, without these in `net/udp/dhcp.c`: the user class, option 175, and the
 * request for options 175 and 203.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process"
import { createSocket } from "node:dgram"
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { createServer } from "node:http"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { addressText, parseAddress } from "../../../adapters/dhcp/address.ts"
import { Answerer, type DhcpSite } from "../../../adapters/dhcp/answer.ts"
import { firmwareOf } from "../../../adapters/dhcp/firmware.ts"
import { Leases } from "../../../adapters/dhcp/leases.ts"
import { decode, encode } from "../../../adapters/dhcp/message.ts"
import { OPTION } from "../../../adapters/dhcp/options.ts"
import { IPXE_FOLDER } from "../../../core/runtime/boot-folder.ts"

const SERVER = "10.77.0.1"
const MAC = "52:54:00:77:00:01"
const at = (text: string) => parseAddress(text)!
const subnet = { network: at("10.77.0.0"), prefix: 24, routers: [], nameServers: [], ntpServers: [], routes: [] }

const machine = { name: "PC-001", address: at("10.77.0.11"), liveAddress: undefined, program: undefined }
const site: DhcpSite = {
  ...{ mode: "full", subnets: [{ ...subnet, domain: "", leaseSeconds: 3600 }], answers: "all" },
  boot: { tftp: at(SERVER), http: `http://${SERVER}:8080`, programs: [] },
  machine: () => machine,
  liveHolder: () => undefined,
}

/**
 * What is told on port 67: the boot file with the address; no boot file; the address by one server and by another nothing but that it is a ProxyDHCP, or its menu.
 * Port 4011 names the file always.
 */
type Told = "file" | "address" | "proxy" | "menu"

/** Intel PXE 2.1 §3, table 2-1: discovery by the list alone (6), that list (8), menu (9) and prompt (10) of boot server type 8001h, end. */
const MENU = Buffer.concat([
  ...[Buffer.from([6, 1, 7]), Buffer.from([8, 7, 0x80, 1, 1, ...SERVER.split(".").map(Number)])],
  ...[
    Buffer.from([9, 8, 0x80, 1, 5]),
    Buffer.from("Start"),
    Buffer.from([10, 6, 0]),
    Buffer.from("Start"),
    Buffer.of(255),
  ],
])

const bootOptions: ReadonlyArray<number> = [OPTION.vendorSpecific, OPTION.bootServer, OPTION.bootFile]

/** The same without a boot file and what goes with one, and with these options. */
const withoutFile = (bytes: Uint8Array, more: ReadonlyArray<[code: number, value?: Uint8Array]> = []): Uint8Array => {
  const decoded = decode(bytes)
  if (!decoded.ok) throw new Error(decoded.why)
  const options = new Map([...decoded.message.options].filter(([code]) => !bootOptions.includes(code)))
  for (const [code, value] of more)
    if (value === undefined) options.delete(code)
    else options.set(code, value)
  return encode({ ...decoded.message, file: "", options })
}

const answererOf = (mode: "full" | "proxy"): Answerer =>
  new Answerer({
    ...{
      site: () => ({ ...site, mode }),
      leases: new Leases({ ranges: [], reserved: () => true }),
      server: at(SERVER),
    },
    ...{ note: () => {}, rate: { perMachine: 1000, strangers: 1000 } },
  })

/** Inside the namespace: prints each message as it comes, and answers. */
const listen = (told: Told): void => {
  const full = answererOf("full")
  const proxy = told === "proxy" || told === "menu" ? answererOf("proxy") : undefined
  const sender = createSocket({ type: "udp4", reuseAddr: true })
  sender.bind(67, SERVER, () => sender.setBroadcast(true))
  for (const port of [67, 4011] as const) {
    const socket = createSocket({ type: "udp4", reuseAddr: true })
    const hear = (bytes: Buffer, from: { address: string; port: number }) => {
      console.log(`${port} ${bytes.toString("hex")}`)
      const out = port === 67 ? sender : socket
      const by = (answerer: Answerer, ...more: Parameters<typeof withoutFile>[1] & {}) => {
        const { answer } = answerer.take(bytes, { address: at(from.address), port: from.port }, port, Date.now())
        const whole = told === "file" || port === 4011
        const given = answer && (whole ? answer.bytes : withoutFile(answer.bytes, more))
        if (given) out.send(given, answer.port, addressText(answer.address), () => {})
      }
      if (proxy === undefined) return by(full)
      if (port === 67) by(full, [OPTION.vendorClass])
      by(proxy, ...(told === "menu" ? [[OPTION.vendorSpecific, MENU] as [number, Uint8Array]] : []))
    }
    socket.on("message", hear)
    if (port === 67) sender.on("message", hear)
    socket.bind(port, "0.0.0.0")
  }
}

const CHAINED = "chained"

/** Inside the namespace: the script of an iPXE, which begins another one; that is given none. */
const chain = (program: string): void => {
  let given = false
  createServer((_, response) => {
    if (given) response.writeHead(404).end()
    else response.end(`#!ipxe\nchain tftp://${SERVER}/${program}\n`)
    if (!given) console.log(CHAINED)
    given = true
  }).listen(8080, SERVER)
}

const tftp = [
  ...["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--pid-file=", "--port=0", "--user=root"],
  ...["--enable-tftp", `--tftp-root=${IPXE_FOLDER}`],
]

const OVMF = "/usr/share/OVMF"
/** Without a ROM of its own: QEMU's iPXE with BIOS, none with UEFI, which has its own network stack. */
const qemu = (folder: string, uefi: boolean, rom = uefi ? "" : undefined): ReadonlyArray<string> => {
  const variables = join(folder, "vars.fd")
  if (uefi) copyFileSync(`${OVMF}/OVMF_VARS_4M.fd`, variables)
  return [
    ...[
      "qemu-system-x86_64",
      "-M",
      uefi ? "q35" : "pc",
      "-accel",
      "tcg",
      "-m",
      "256",
      "-display",
      "none",
      "-nodefaults",
    ],
    ...["-netdev", "tap,id=n0,ifname=tap0,script=no,downscript=no"],
    ...["-device", `virtio-net-pci,netdev=n0,mac=${MAC},bootindex=1${rom === undefined ? "" : `,romfile=${rom}`}`],
    ...["-uuid", "12345678-1234-1234-1234-1234567890ab"],
    ...(uefi
      ? [
          ...["-drive", `if=pflash,format=raw,unit=0,readonly=on,file=${OVMF}/OVMF_CODE_4M.fd`],
          ...["-drive", `if=pflash,format=raw,unit=1,file=${variables}`],
        ]
      : []),
  ]
}

interface Followed {
  readonly told?: Told
  /** A boot program that is served, and which of the messages are its own. */
  readonly program?: string
  readonly own?: (lines: ReadonlyArray<string>) => ReadonlyArray<string>
}

const wanted = process.argv.slice(2)

const capture = async (
  name: string,
  command: ReadonlyArray<string>,
  seconds: number,
  { told = "file", program, own = (lines) => lines }: Followed = {},
): Promise<void> => {
  if (wanted.length > 0 && !wanted.includes(name)) return
  const space = `imagelink-${process.pid}-c`
  const ip = (...args: ReadonlyArray<string>) => execFileSync("ip", args)
  const inside = (words: ReadonlyArray<string>): ChildProcess =>
    spawn("ip", ["netns", "exec", space, ...words], { stdio: ["ignore", "pipe", "inherit"] })
  ip("netns", "add", space)
  const children: Array<ChildProcess> = []
  try {
    ip("-n", space, "link", "add", "br0", "type", "bridge", "forward_delay", "0")
    ip("-n", space, "addr", "add", `${SERVER}/24`, "dev", "br0")
    ip("-n", space, "tuntap", "add", "tap0", "mode", "tap")
    ip("-n", space, "link", "add", "veth0", "type", "veth", "peer", "name", "veth1")
    ip("-n", space, "link", "set", "veth1", "address", MAC)
    for (const device of ["tap0", "veth0"]) ip("-n", space, "link", "set", device, "master", "br0")
    for (const device of ["lo", "br0", "tap0", "veth0", "veth1"]) ip("-n", space, "link", "set", device, "up")
    const listener = ["listen", told, program ?? ""]
    const self = [process.execPath, "--conditions=source", fileURLToPath(import.meta.url), ...listener]
    if (program !== undefined) children.push(inside(tftp))
    let said = ""
    children.push(inside(self))
    children.at(-1)!.stdout!.on("data", (chunk: Buffer) => (said += chunk))
    await new Promise((r) => setTimeout(r, 3000))
    children.push(inside(command))
    await new Promise((r) => setTimeout(r, seconds * 1000))
    const lines = own(said.split("\n").filter((line) => line !== ""))
    writeFileSync(join(import.meta.dirname, `${name}.txt`), `${[...firstOfEach(lines)].join("\n")}\n`)
    console.log(`${name}: ${lines.length} messages`)
  } finally {
    await Promise.all(children.map((child) => stopped(child)))
    ip("netns", "del", space)
  }
}

/** The first of each kind: the same message again, but for its number and seconds, says nothing new. */
const firstOfEach = (lines: ReadonlyArray<string>): Iterable<string> => {
  const kinds = new Map<string, string>()
  for (const line of lines) {
    const [port, hex = ""] = line.split(" ")
    const kind = `${port} ${hex.slice(0, 8)}${hex.slice(20)}`
    if (!kinds.has(kind)) kinds.set(kind, line)
  }
  return kinds.values()
}

const stopped = (child: ChildProcess): Promise<void> =>
  new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) return resolve()
    child.once("exit", () => resolve())
    child.kill("SIGKILL")
  })

const afterChain = (lines: ReadonlyArray<string>) =>
  lines.includes(CHAINED) ? lines.slice(lines.indexOf(CHAINED) + 1) : []
const ofIpxe = (lines: ReadonlyArray<string>) =>
  lines.filter((line) => {
    const decoded = decode(Buffer.from(line.split(" ")[1] ?? "", "hex"))
    return decoded.ok && firmwareOf(decoded.message).kind === "ipxe"
  })

const [first, told, program] = process.argv.slice(2)
if (first === "listen") {
  listen(told as Told)
  if (program === "undionly.kpxe") chain(program)
} else {
  const folder = mkdtempSync(join(tmpdir(), "imagelink-capture-"))
  try {
    await capture("udhcpc", ["udhcpc", "-i", "veth1", "-n", "-q", "-f", "-s", "/bin/true"], 5)
    await capture("ipxe-rom-bios", qemu(folder, false), 45)
    await capture("ovmf", qemu(folder, true), 150)
    await capture("ovmf-boot-server", qemu(folder, true), 60, { told: "address" })
    await capture("undionly", qemu(folder, false), 150, { program: "undionly.kpxe", own: afterChain })
    await capture("snponly", qemu(folder, true), 150, { program: "snponly.efi", own: ofIpxe })
    const rom = process.env.IMAGELINK_PLAIN_ROM
    if (rom !== undefined) {
      await capture("plain-rom", qemu(folder, false, rom), 30)
      await capture("plain-rom-proxy", qemu(folder, false, rom), 45, { told: "proxy" })
      await capture("plain-rom-menu", qemu(folder, false, rom), 45, { told: "menu" })
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
