/** Messages as real clients send them, and answers in a form that reads well in a failure. */
import { type Address, addressText, parseAddress } from "../../../adapters/dhcp/address.ts"
import { BOOTREQUEST, type DhcpMessage } from "../../../adapters/dhcp/message.ts"
import { MESSAGE_TYPE, OPTION, text, u8, u16, u32 } from "../../../adapters/dhcp/options.ts"
import type { DhcpPlan, SubnetSettings } from "../../../adapters/dhcp/plan.ts"

export const at = (dotted: string): Address => {
  const address = parseAddress(dotted)
  if (address === undefined) throw new Error(`${dotted} is not an address`)
  return address
}

type Type = keyof typeof MESSAGE_TYPE

export interface Sent {
  readonly type?: Type
  readonly mac?: string
  readonly xid?: number
  readonly ciaddr?: string
  readonly giaddr?: string
  readonly broadcast?: boolean
  readonly server?: string
  readonly requested?: string
  readonly options?: ReadonlyArray<readonly [number, Uint8Array]>
}

export const MAC = "52:54:00:00:00:01"

export const message = (sent: Sent = {}): DhcpMessage => {
  const { type = "discover", mac = MAC, xid = 1, server, requested } = sent
  return {
    op: BOOTREQUEST,
    htype: 1,
    hops: 0,
    xid,
    secs: 0,
    broadcast: sent.broadcast ?? false,
    ciaddr: at(sent.ciaddr ?? "0.0.0.0"),
    yiaddr: 0,
    siaddr: 0,
    giaddr: at(sent.giaddr ?? "0.0.0.0"),
    chaddr: Buffer.from(mac.replaceAll(":", ""), "hex"),
    sname: "",
    file: "",
    options: new Map([
      [OPTION.messageType, u8(MESSAGE_TYPE[type])],
      ...(server === undefined ? [] : [[OPTION.serverId, u32(at(server))] as const]),
      ...(requested === undefined ? [] : [[OPTION.requestedAddress, u32(at(requested))] as const]),
      ...(sent.options ?? []),
    ]),
  }
}

const uuid = Buffer.from("00785634123412341212341234567890ab", "hex")
const firmwareAsks = [OPTION.architecture, u16(0)] as const

/** As captured: what each kind of client adds to its messages. */
export const sends = {
  biosRom: [[OPTION.vendorClass, text("PXEClient:Arch:00000:UNDI:002001")], firmwareAsks, [OPTION.machineId, uuid]],
  uefiPxe: [
    [OPTION.vendorClass, text("PXEClient:Arch:00007:UNDI:003000")],
    [OPTION.architecture, u16(7)],
    [OPTION.machineId, uuid],
  ],
  uefiHttp: [
    [OPTION.vendorClass, text("HTTPClient:Arch:00016:UNDI:003000")],
    [OPTION.architecture, u16(16)],
  ],
  ipxe: [
    [OPTION.vendorClass, text("PXEClient:Arch:00000:UNDI:002001")],
    firmwareAsks,
    [OPTION.userClass, text("iPXE")],
    // features, cut off without an end
    [OPTION.ipxe, Uint8Array.of(0xb1, 5, 1, 0x10, 0xec, 0x81, 0x39, 0x18, 1, 1)],
  ],
  system: [[OPTION.parameterList, Uint8Array.of(1, 3, 6, 12, 15)]],
} as const satisfies Record<string, ReadonlyArray<readonly [number, Uint8Array]>>

export const lan: SubnetSettings = {
  network: at("10.0.0.0"),
  prefix: 24,
  routers: [at("10.0.0.254")],
  nameServers: [at("10.0.0.253")],
  ntpServers: [],
  routes: [],
  domain: "lab.example",
  leaseSeconds: 3600,
}

export const plan: DhcpPlan = {
  mode: "full",
  server: at("10.0.0.1"),
  subnet: lan,
  mac: MAC,
  name: "PC-001",
  address: at("10.0.0.11"),
  liveAddress: undefined,
  boot: { tftp: at("10.0.0.1"), http: "http://10.0.0.1:8080", programs: [] },
  program: undefined,
}

/** What matters of an answer, as text. */
export const shown = (m: DhcpMessage) => ({
  type: Object.entries(MESSAGE_TYPE).find(([, n]) => n === m.options.get(OPTION.messageType)?.[0])?.[0],
  yiaddr: addressText(m.yiaddr),
  siaddr: addressText(m.siaddr),
  file: m.file,
  options: Object.fromEntries(
    [...m.options]
      .filter(([code]) => code !== OPTION.messageType)
      .map(([code, v]) => [code, Buffer.from(v).toString("hex")]),
  ),
})
