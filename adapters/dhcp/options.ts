/**
 * Options of DHCP: their codes, and how their values are written and read.
 *
 * **Details** RFC 2132 but where another is named. A reader answers undefined for a value that is not what its option says.
 */
import { readU16, readU32, writeU16, writeU32 } from "../../core/bytes.ts"
import { type Address, maskOf, type Subnet } from "./address.ts"

export const OPTION = {
  pad: 0,
  subnetMask: 1,
  routers: 3,
  nameServers: 6,
  hostName: 12,
  domainName: 15,
  rootPath: 17,
  broadcastAddress: 28,
  ntpServers: 42,
  vendorSpecific: 43,
  requestedAddress: 50,
  leaseSeconds: 51,
  overload: 52,
  messageType: 53,
  serverId: 54,
  parameterList: 55,
  message: 56,
  messageBytesMax: 57,
  renewSeconds: 58,
  rebindSeconds: 59,
  vendorClass: 60,
  clientId: 61,
  bootServer: 66,
  bootFile: 67,
  /** RFC 3004. */
  userClass: 77,
  /** RFC 3046. */
  relayAgent: 82,
  /** RFC 4578 §2.1 to §2.3. */
  architecture: 93,
  networkInterface: 94,
  machineId: 97,
  /** RFC 3442. */
  classlessRoutes: 121,
  /** iPXE's own, encapsulated. */
  ipxe: 175,
  end: 255,
} as const

/** RFC 2132 §9.6. */
export const MESSAGE_TYPE = {
  discover: 1,
  offer: 2,
  request: 3,
  decline: 4,
  ack: 5,
  nak: 6,
  release: 7,
  inform: 8,
} as const

export const u8 = (value: number): Uint8Array => Uint8Array.of(value)

export const u32 = (value: number): Uint8Array => {
  const bytes = new Uint8Array(4)
  writeU32(bytes, 0, value)
  return bytes
}

export const u16 = (value: number): Uint8Array => {
  const bytes = new Uint8Array(2)
  writeU16(bytes, 0, value)
  return bytes
}

export const text = (value: string): Uint8Array => Buffer.from(value, "utf8")

export const addresses = (list: ReadonlyArray<Address>): Uint8Array => {
  const bytes = new Uint8Array(4 * list.length)
  for (const [i, address] of list.entries()) writeU32(bytes, 4 * i, address)
  return bytes
}

/** RFC 3442: prefix length, as many bytes of the network as it covers, router. With it, a client ignores option 3. */
export const classlessRoutes = (
  routes: ReadonlyArray<{ readonly to: Subnet; readonly router: Address }>,
): Uint8Array => {
  const parts = routes.map(({ to, router }) => {
    const significant = Math.ceil(to.prefix / 8)
    const bytes = new Uint8Array(1 + significant + 4)
    bytes[0] = to.prefix
    const network = u32((to.network & maskOf(to.prefix)) >>> 0)
    bytes.set(network.subarray(0, significant), 1)
    writeU32(bytes, 1 + significant, router)
    return bytes
  })
  return Buffer.concat(parts)
}

/** Options within an option: code, length, value, and an end. */
export const encapsulated = (options: ReadonlyArray<readonly [code: number, value: Uint8Array]>): Uint8Array =>
  Buffer.concat([...options.flatMap(([code, value]) => [Uint8Array.of(code, value.length), value]), Uint8Array.of(255)])

/** The options within an option; an end may be missing (iPXE's option 175), and what is cut short is left out. */
export const within = (value: Uint8Array): ReadonlyMap<number, Uint8Array> => {
  const found = new Map<number, Uint8Array>()
  for (let at = 0; at + 1 < value.length && value[at] !== OPTION.end; ) {
    if (value[at] === OPTION.pad) {
      at++
      continue
    }
    const next = at + 2 + value[at + 1]!
    if (next > value.length) break
    found.set(value[at]!, value.subarray(at + 2, next))
    at = next
  }
  return found
}

export const readAddress = (value: Uint8Array | undefined): Address | undefined =>
  value?.length === 4 ? readU32(value, 0) : undefined

/** The first number of one or several. */
export const readNumber16 = (value: Uint8Array | undefined): number | undefined =>
  value !== undefined && value.length >= 2 ? readU16(value, 0) : undefined

/** A text option, without the NUL that some firmware ends it with (RFC 2132 §2 says to take it off). */
export const readText = (value: Uint8Array | undefined): string | undefined =>
  value === undefined ? undefined : Buffer.from(value).toString("utf8").replace(/\0+$/, "")
