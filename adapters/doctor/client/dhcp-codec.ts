/**
 * DHCP as the npm package `dhcp` writes and reads it: an implementation that shares no line with the server that is asked.
 *
 * **Details** Only its codec is used; its sockets have fixed ports. It does not know what firmware sends, and is taught. It knows a client identifier (option 61) as text
 * only, so none is sent. What it cannot read it throws at, and what it does not know it complains of on the console; both end here.
 */
import dhcpOptions from "dhcp/lib/options.js"
import protocol from "dhcp/lib/protocol.js"
import type { Ask, Offer } from "./offers.ts"

/** RFC 3004, 3046, 4578, and iPXE's own. */
const taught: ReadonlyArray<readonly [code: number, name: string, type: string]> = [
  [43, "Vendor-specific", "UInt8s"],
  [77, "User class", "UInt8s"],
  [82, "Relay agent", "UInt8s"],
  [93, "Architecture", "UInt16s"],
  [94, "Network interface", "UInt8s"],
  [97, "Machine id", "UInt8s"],
  [175, "iPXE", "UInt8s"],
]
for (const [code, name, type] of taught) dhcpOptions.addOption(code, { name, type })

const BOOTREQUEST = 1
const BOOTREPLY = 2
const DISCOVER = 1
const OFFER = 2
const REQUEST = 3
const ACK = 5
const NO_ADDRESS = "0.0.0.0"

/** The same text that adapters/dhcp knows whoever only looks by: no machine that is on its way is recorded. */
const USER_CLASS = [...Buffer.from("Imagelink doctor")]

/** As OVMF sends it; a BIOS ROM says architecture 0. */
const firmware = (architecture: number) => ({
  60: `PXEClient:Arch:${String(architecture).padStart(5, "0")}:UNDI:003000`,
  77: USER_CLASS,
  93: [architecture],
  94: [1, 3, 0],
  97: [0, ...Buffer.from("Imagelink doctor")],
})

const options: Readonly<Record<Ask, object>> = {
  bios: firmware(0),
  uefi: firmware(7),
  // Sub-option 19: it can fetch over HTTP.
  ipxe: { ...firmware(7), 175: [19, 1, 1, 255] },
}

/** What is asked for, as OVMF does. */
const ASKED = [1, 3, 6, 12, 15, 43, 51, 54, 60, 66, 67, 97, 128, 129, 130, 131, 132, 133, 134, 135, 175]

export interface Relay {
  /** Its address, in a subnet that is served. */
  readonly address: string
}

/** A DISCOVER for this MAC. Through a relay, the answer comes to the port that it was sent from (RFC 8357 §4: sub-option 19 of option 82). */
export const discover = (ask: Ask, mac: string, xid: number, relay: Relay | undefined): Buffer => {
  const { _data, _w } = protocol.format({
    ...{ op: BOOTREQUEST, htype: 1, hlen: 6, hops: relay === undefined ? 0 : 1, xid, secs: 0, flags: 0x8000 },
    ...{ ciaddr: NO_ADDRESS, yiaddr: NO_ADDRESS, siaddr: NO_ADDRESS, giaddr: relay?.address ?? NO_ADDRESS },
    ...{ chaddr: mac, sname: "", file: "" },
    options: {
      ...{ 53: DISCOVER, 55: ASKED, 57: 1472 },
      ...options[ask],
      ...(relay === undefined ? {} : { 82: [19, 0] }),
    },
  })
  return _data.subarray(0, _w)
}

/** What firmware asks the boot server's port once it has an address (Intel PXE 2.1 §2.2.5), as OVMF does. */
export const bootRequest = (mac: string, xid: number, address: string): Buffer => {
  const { _data, _w } = protocol.format({
    ...{ op: BOOTREQUEST, htype: 1, hlen: 6, hops: 0, xid, secs: 0, flags: 0 },
    ...{ ciaddr: address, yiaddr: NO_ADDRESS, siaddr: NO_ADDRESS, giaddr: NO_ADDRESS },
    ...{ chaddr: mac, sname: "", file: "" },
    options: { 53: REQUEST, 55: ASKED, 57: 1472, ...options.uefi },
  })
  return _data.subarray(0, _w)
}

const textOf = (value: unknown): string => (typeof value === "string" ? value.replace(/\0+$/u, "") : "")

interface Read {
  readonly xid: number
  readonly offer: Offer
}

/** The offer in a datagram, and the transaction it belongs to; undefined for anything else. */
export const readOffer = (bytes: Buffer, from: string): Read | undefined => read(OFFER, bytes, from)

/** What a boot server acknowledges. */
export const readAck = (bytes: Buffer, from: string): Read | undefined => read(ACK, bytes, from)

const read = (type: number, bytes: Buffer, from: string): Read | undefined => {
  const complain = console.error
  console.error = () => {}
  try {
    const { op, xid, yiaddr, siaddr, file, options: said } = protocol.parse(bytes)
    if (op !== BOOTREPLY || said[53] !== type) return undefined
    const next = siaddr === NO_ADDRESS ? textOf(said[66]) : siaddr
    return { xid, offer: { server: textOf(said[54]) || from, address: yiaddr, next, file: file || textOf(said[67]) } }
  } catch {
    return undefined
  } finally {
    console.error = complain
  }
}
