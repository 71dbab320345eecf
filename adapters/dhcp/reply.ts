/**
 * What a DHCP server answers: a pure function of a message and a plan (RFC 2131 §4.3).
 *
 * | message                     | state (RFC 2131 §4.3.2)  | answer                                                                      |
 * | --------------------------- | ------------------------ | --------------------------------------------------------------------------- |
 * | DISCOVER                    |                          | OFFER of the machine's address                                              |
 * | REQUEST with server id      | selecting                | ACK; NAK if it is not the address offered; nothing if it chose another server |
 * | REQUEST with requested address | init-reboot           | ACK; NAK if it may not have it; nothing if it is not known here             |
 * | REQUEST with ciaddr         | renewing, rebinding      | the same                                                                    |
 * | INFORM                      |                          | ACK without address and lease                                               |
 * | DECLINE, RELEASE            |                          | nothing; whoever keeps addresses is told (server.ts)                        |
 *
 * In proxy mode only firmware is answered: OFFER on port 67, ACK on 4011, both without an address.
 *
 * **Details** A machine that uses its address in a session now keeps it, although its entry names another: it is never told NAK. Where the
 * server knows nothing of a machine it is silent, for another server may know it.
 */
import { type Address, inSubnet, maskOf } from "./address.ts"
import { type BootPart, bootPart } from "./boot-options.ts"
import { firmwareOf } from "./firmware.ts"
import { BOOTREPLY, type DhcpMessage } from "./message.ts"
import { addresses, classlessRoutes, MESSAGE_TYPE, OPTION, readAddress, text, u8, u32 } from "./options.ts"
import type { DhcpPlan, SubnetSettings } from "./plan.ts"

/** Which port the message came to. */
export type DhcpPort = 67 | 4011

export interface DhcpReply {
  readonly kind: "offer" | "ack" | "nak"
  readonly message: DhcpMessage
}

/** Undefined: silence. */
export const reply = (request: DhcpMessage, plan: DhcpPlan, port: DhcpPort = 67): DhcpReply | undefined => {
  const type = request.options.get(OPTION.messageType)?.[0]
  if (port === 4011 || plan.mode === "proxy") return proxyReply(request, plan, type, port)
  switch (type) {
    case MESSAGE_TYPE.discover:
      return plan.address === undefined ? undefined : granted("offer", request, plan, plan.address)
    case MESSAGE_TYPE.request:
      return requestReply(request, plan)
    case MESSAGE_TYPE.inform:
      return informed(request, plan)
    default:
      return undefined
  }
}

const requestReply = (request: DhcpMessage, plan: DhcpPlan): DhcpReply | undefined => {
  const chosen = readAddress(request.options.get(OPTION.serverId))
  const asked = readAddress(request.options.get(OPTION.requestedAddress)) ?? request.ciaddr
  if (chosen !== undefined && chosen !== plan.server) return undefined
  if (asked === 0) return undefined
  const may = asked === plan.address || asked === plan.liveAddress
  if (may && inSubnet(asked, plan.subnet)) return granted("ack", request, plan, asked)
  const known = plan.name !== undefined || plan.address !== undefined
  return known || chosen !== undefined ? refused(request, plan) : undefined
}

/** RFC 2131 §4.3.5: no address, no lease, sent to ciaddr. */
const informed = (request: DhcpMessage, plan: DhcpPlan): DhcpReply | undefined => {
  if (request.ciaddr === 0) return undefined
  const boot = bootPart(request, firmwareOf(request), plan)
  const options = [...subnetOptions(plan, request), ...boot.options]
  return { kind: "ack", message: answer(request, plan, MESSAGE_TYPE.ack, { ...boot, options, yiaddr: 0 }) }
}

const granted = (kind: "offer" | "ack", request: DhcpMessage, plan: DhcpPlan, address: Address): DhcpReply => {
  const boot = bootPart(request, firmwareOf(request), plan)
  const seconds = plan.subnet.leaseSeconds
  const options: Array<readonly [number, Uint8Array]> = [
    [OPTION.leaseSeconds, u32(seconds)],
    [OPTION.renewSeconds, u32(Math.floor(seconds / 2))],
    [OPTION.rebindSeconds, u32(Math.floor((seconds * 7) / 8))],
    ...subnetOptions(plan, request),
    ...boot.options,
  ]
  return { kind, message: answer(request, plan, MESSAGE_TYPE[kind], { ...boot, options, yiaddr: address }) }
}

/** RFC 2131 §4.3.2: no options but the type, the server and a message; broadcast, unless a relay passes it on. */
const refused = (request: DhcpMessage, plan: DhcpPlan): DhcpReply => {
  const why: ReadonlyArray<readonly [number, Uint8Array]> = [[OPTION.message, text("not the address of this machine")]]
  const message = answer(request, plan, MESSAGE_TYPE.nak, { siaddr: 0, file: "", options: why, yiaddr: 0 })
  return { kind: "nak", message: { ...message, broadcast: true, ciaddr: 0 } }
}

/** Intel PXE 2.1 §2.2.2: boot information alone, for those who ask for it. */
const proxyReply = (
  request: DhcpMessage,
  plan: DhcpPlan,
  type: number | undefined,
  port: DhcpPort,
): DhcpReply | undefined => {
  const kind = proxyKind(type, port)
  const boot = bootPart(request, firmwareOf(request), plan)
  if (kind === undefined || boot.file === "") return undefined
  return { kind, message: answer(request, plan, MESSAGE_TYPE[kind], { ...boot, yiaddr: 0 }) }
}

const proxyKind = (type: number | undefined, port: DhcpPort): "offer" | "ack" | undefined => {
  if (type === MESSAGE_TYPE.discover && port === 67) return "offer"
  const asks = type === MESSAGE_TYPE.request || type === MESSAGE_TYPE.inform
  return asks && port === 4011 ? "ack" : undefined
}

/** RFC 2131 table 3. */
const answer = (
  request: DhcpMessage,
  plan: DhcpPlan,
  type: number,
  { yiaddr, siaddr, file, options: given }: BootPart & { readonly yiaddr: Address },
): DhcpMessage => {
  const options = new Map<number, Uint8Array>()
  options.set(OPTION.messageType, u8(type))
  options.set(OPTION.serverId, u32(plan.server))
  for (const [code, value] of given) options.set(code, value)
  // RFC 6842 §3: the client identifier comes back as it came. RFC 3046 §2.2: so does what the relay added.
  for (const code of [OPTION.clientId, OPTION.relayAgent]) {
    const value = request.options.get(code)
    if (value !== undefined) options.set(code, value)
  }
  return {
    op: BOOTREPLY,
    htype: request.htype,
    hops: 0,
    xid: request.xid,
    secs: 0,
    broadcast: request.broadcast,
    ciaddr: type === MESSAGE_TYPE.ack ? request.ciaddr : 0,
    yiaddr,
    siaddr,
    giaddr: request.giaddr,
    chaddr: request.chaddr,
    sname: "",
    file: file.length < 128 ? file : "",
    options,
  }
}

/** The mask first: RFC 2132 §3.3 wants it before the routers. A list of what is asked for (option 55) leaves out the rest. */
const subnetOptions = ({ subnet, name }: DhcpPlan, request: DhcpMessage): ReadonlyArray<DhcpOption> => {
  const asked = request.options.get(OPTION.parameterList)
  const wanted = (code: number): boolean => asked === undefined || asked.includes(code)
  const told = settingsOf(subnet).filter(([code]) => code === OPTION.subnetMask || wanted(code))
  return name === undefined || !wanted(OPTION.hostName) ? told : [...told, [OPTION.hostName, text(name)]]
}

type DhcpOption = readonly [number, Uint8Array]

/** A subnet's settings never change, and are told to everybody. */
const encodedSettings = new WeakMap<SubnetSettings, ReadonlyArray<DhcpOption>>()

const settingsOf = (subnet: SubnetSettings): ReadonlyArray<DhcpOption> => {
  const known = encodedSettings.get(subnet) ?? encodeSettings(subnet)
  encodedSettings.set(subnet, known)
  return known
}

const encodeSettings = (subnet: SubnetSettings): ReadonlyArray<DhcpOption> => {
  const mask = maskOf(subnet.prefix)
  const all: ReadonlyArray<DhcpOption> = [
    [OPTION.subnetMask, u32(mask)],
    // RFC 3442: a client that takes these ignores the routers; they come first, because it asks for them first.
    [OPTION.classlessRoutes, classlessRoutes(subnet.routes)],
    [OPTION.routers, addresses(subnet.routers)],
    [OPTION.nameServers, addresses(subnet.nameServers)],
    [OPTION.domainName, text(subnet.domain)],
    [OPTION.broadcastAddress, u32((subnet.network | ~mask) >>> 0)],
    [OPTION.ntpServers, addresses(subnet.ntpServers)],
  ]
  return all.filter(([, value]) => value.length > 0)
}
