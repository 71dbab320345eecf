/**
 * From a datagram to an answer: who is it, may it have one, which address, and what must be written down first.
 *
 *     decode ─► rate ─► who ─► plan ─► reply ─► (lease to disk) ─► encode ─► where to
 *
 * **Details** Only machines that are registered and firmware that boots over the network are answered, unless the site says otherwise: a
 * running laptop of somebody else's LAN never is. No socket here: what comes in and goes out is bytes, so a flood, a relay or a lossy
 * network is a loop in a spec.
 */
import { limits } from "../../core/limits.ts"
import { type Address, BROADCAST, inSubnet } from "./address.ts"
import { type Firmware, firmwareOf } from "./firmware.ts"
import type { Lease, Leases } from "./leases.ts"
import { BOOTREQUEST, type DhcpMessage, decode, encode } from "./message.ts"
import { MESSAGE_TYPE, OPTION, readAddress, readNumber16, within } from "./options.ts"
import type { BootSource, DhcpMode, SubnetSettings } from "./plan.ts"
import { Rate, type RateLimits } from "./rate.ts"
import { type DhcpPort, reply } from "./reply.ts"

/** A client as the link table knows it. */
export interface RegisteredMachine {
  readonly name: string
  /** None recorded: it is lent one. */
  readonly address: Address | undefined
  /** That it has in a session now. */
  readonly liveAddress: Address | undefined
  readonly program: string | undefined
}

export interface DhcpSite {
  readonly mode: DhcpMode
  readonly subnets: ReadonlyArray<SubnetSettings>
  readonly boot: BootSource
  /** `boot`: registered clients and firmware; `all`: everybody. */
  readonly answers: "boot" | "all"
  readonly machine: (mac: string) => RegisteredMachine | undefined
  /** Its model, where it has told it. */
  readonly productOf?: ((mac: string) => string | undefined) | undefined
  /** The MAC of the registered machine that uses an address in a session now. */
  readonly liveHolder: (address: Address) => string | undefined
}

/** What to do about a datagram. */
export interface DhcpAnswer {
  readonly bytes: Uint8Array
  readonly address: Address
  readonly port: number
  /** To be on disk before it is sent. */
  readonly lease: Lease | undefined
  readonly mac: string
  readonly what: string
  readonly firmware: Firmware
  /** The asker's own from here on; 0 where it has none by us. */
  readonly client: Address
}

export type DhcpNote =
  | { readonly type: "malformed"; readonly why: string }
  | { readonly type: "ignored"; readonly mac: string; readonly why: string }
  /** Somebody else on the wire answers too. */
  | { readonly type: "otherServer"; readonly server: Address }
  | {
      readonly type: "declined"
      readonly mac: string
      readonly address: Address
      readonly registered: string | undefined
    }
  | { readonly type: "full"; readonly mac: string }
  /** Beside another server: it takes that one's address. */
  | { readonly type: "chose"; readonly mac: string; readonly address: Address }
  /** The address recorded for a client is still used by another machine; the client waits. */
  | {
      readonly type: "taken"
      readonly mac: string
      readonly name: string
      readonly address: Address
      readonly holder: string
    }

export interface AnswererInput {
  readonly site: () => DhcpSite
  readonly leases: Leases
  /** Ours, as machines behind this listener reach it. */
  readonly server: Address
  readonly note: (note: DhcpNote) => void
  readonly rate?: RateLimits
}

export interface Answered {
  readonly answer?: DhcpAnswer
  /** A change that nobody is told of, to be written all the same. */
  readonly lease?: Lease
}

const CLIENT_PORT = 68
const SERVER_PORT = 67

const hexOf = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"))

export const macOf = ({ chaddr }: DhcpMessage): string => {
  let mac = hexOf[chaddr[0]!]!
  for (let i = 1; i < chaddr.length; i++) mac += `:${hexOf[chaddr[i]!]}`
  return mac
}

export class Answerer {
  readonly #input: AnswererInput
  /** Each port has its own, so that a flood on one leaves places on the other. */
  readonly #rates: Readonly<Record<DhcpPort, Rate>>
  readonly #otherServers = new Set<Address>()
  /** When it may be said again that there is no address left; a flood would fill the log. */
  #sayAgainAt = 0

  constructor(input: AnswererInput) {
    this.#input = input
    const rate = input.rate ?? { perMachine: limits.dhcpMessagesPerSecond, strangers: limits.dhcpStrangersPerSecond }
    this.#rates = { 67: new Rate(rate), 4011: new Rate(rate) }
  }

  /** How much is kept of machines that nobody registered. */
  remembered(): { readonly strangers: number; readonly otherServers: number } {
    const strangers = this.#rates[67].strangers + this.#rates[4011].strangers
    return { strangers, otherServers: this.#otherServers.size }
  }

  /** `from` is the sender's address and port; the answer on 4011 goes there. */
  take(
    bytes: Uint8Array,
    from: { readonly address: Address; readonly port: number },
    port: DhcpPort,
    now: number,
  ): Answered {
    const { note, site: siteNow, server } = this.#input
    const decoded = decode(bytes)
    if (!decoded.ok) {
      note({ type: "malformed", why: decoded.why })
      return {}
    }
    const { message } = decoded
    if (message.op !== BOOTREQUEST) {
      this.#overheard(message)
      return {}
    }
    if (message.htype !== 1 || message.chaddr.length !== 6) {
      note({ type: "malformed", why: "its hardware address is not one of Ethernet" })
      return {}
    }
    const mac = macOf(message)
    const site = siteNow()
    const machine = site.machine(mac)
    if (!this.#rates[port].admits(mac, machine !== undefined, now)) return {}
    // Its offers go past this port, but whoever takes one says so to everybody (RFC 2131 §4.3.2).
    if (site.mode === "full" && message.giaddr === 0) this.#overheard(message)
    const subnet = subnetFor(message, site.subnets, server)
    const why = refusalOf(message, site, machine, subnet)
    if (why !== undefined || subnet === undefined) {
      note({ type: "ignored", mac, why: why ?? "" })
      return {}
    }
    return this.#answer({ message, mac, site, machine, subnet, from, port, now })
  }

  #answer(asked: Asked): Answered {
    const { message, mac, site, machine, subnet, from, port, now } = asked
    const type = message.options.get(OPTION.messageType)?.[0]
    if (type === MESSAGE_TYPE.decline || type === MESSAGE_TYPE.release) return this.#gaveBack(asked, type)
    const plan = {
      mode: site.mode,
      server: this.#input.server,
      subnet,
      mac,
      name: machine?.name,
      address: this.#addressFor(asked, type),
      liveAddress: machine?.liveAddress,
      boot: site.boot,
      program: machine?.program,
      product: site.productOf?.(mac),
    }
    const given = reply(message, plan, port)
    if (given === undefined) {
      const chosen = readAddress(message.options.get(OPTION.requestedAddress))
      if (site.mode === "proxy" && type === MESSAGE_TYPE.request && chosen !== undefined)
        this.#input.note({ type: "chose", mac, address: chosen })
      return {}
    }
    const { kind, message: out } = given
    const lease = kind === "ack" && out.yiaddr !== 0 ? this.#leaseOf(mac, out.yiaddr, machine, subnet, now) : undefined
    if (lease === null) return {}
    const bytes = encode(out, replyBytesMax(message))
    const client = out.yiaddr !== 0 ? out.yiaddr : message.ciaddr
    const about = { mac, what: kind, firmware: firmwareOf(message), client }
    return { answer: { bytes, ...destination(message, out, from, port), lease, ...about } }
  }

  /** Recorded, or lent. Nobody is given one in proxy mode, nor on the boot server's port. */
  #addressFor(
    { message, mac, site, machine, subnet, port, now }: Asked,
    type: number | undefined,
  ): Address | undefined {
    if (site.mode === "proxy" || port === 4011) return undefined
    const { leases, note } = this.#input
    if (machine?.address !== undefined) {
      if (!inSubnet(machine.address, subnet)) return undefined
      const holder = site.liveHolder(machine.address) ?? leases.other(mac, machine.address, now)?.mac
      if (holder === undefined || holder === mac) return machine.address
      note({ type: "taken", mac, name: machine.name, address: machine.address, holder })
      return undefined
    }
    if (type !== MESSAGE_TYPE.discover) return leases.of(mac, now)?.address
    const address = leases.offer(mac, readAddress(message.options.get(OPTION.requestedAddress)), now)
    if (address === undefined && now >= this.#sayAgainAt) {
      this.#sayAgainAt = now + limits.dhcpSaidAgainMillis
      note({ type: "full", mac })
    }
    return address
  }

  /** Undefined: it is recorded in the log and needs no lease. Null: somebody else has it by now. */
  #leaseOf(
    mac: string,
    address: Address,
    machine: RegisteredMachine | undefined,
    subnet: SubnetSettings,
    now: number,
  ): Lease | undefined | null {
    if (machine !== undefined && (machine.address === address || machine.liveAddress === address)) return undefined
    return this.#input.leases.lease(mac, address, subnet.leaseSeconds, now) ?? null
  }

  #gaveBack({ message, mac, machine, now }: Asked, type: number): Answered {
    const { leases, note, server } = this.#input
    if (readAddress(message.options.get(OPTION.serverId)) !== server) return {}
    if (type === MESSAGE_TYPE.release) {
      const released = leases.release(mac, message.ciaddr, now)
      return released === undefined ? {} : { lease: released }
    }
    const address = readAddress(message.options.get(OPTION.requestedAddress))
    if (address === undefined) return {}
    const own = machine?.address === address
    const declined = own ? undefined : leases.decline(mac, address, now)
    if (own || declined !== undefined)
      note({ type: "declined", mac, address, registered: own ? machine.name : undefined })
    return declined === undefined ? {} : { lease: declined }
  }

  /** An answer of another server, or to one: it is told once, so that an operator learns of two on one wire. */
  #overheard(message: DhcpMessage): void {
    const { server, note } = this.#input
    const other = readAddress(message.options.get(OPTION.serverId))
    const known = other === undefined || other === server || this.#otherServers.has(other)
    if (known || this.#otherServers.size >= limits.dhcpOtherServersMax) return
    this.#otherServers.add(other)
    note({ type: "otherServer", server: other })
  }
}

/** RFC 2132 §9.10: the largest datagram that it takes, with the headers of IP and UDP. */
const replyBytesMax = ({ options }: DhcpMessage): number => {
  const said = (readNumber16(options.get(OPTION.messageBytesMax)) ?? 0) - 28
  return Math.min(Math.max(said, limits.dhcpReplyBytesDefault), limits.dhcpMessageBytesMax - 28)
}

interface Asked {
  readonly message: DhcpMessage
  readonly mac: string
  readonly site: DhcpSite
  readonly machine: RegisteredMachine | undefined
  readonly subnet: SubnetSettings
  readonly from: { readonly address: Address; readonly port: number }
  readonly port: DhcpPort
  readonly now: number
}

/** RFC 2131 §4.3.1: the subnet of the relay, or of the listener; a machine that renews says its own. */
const subnetFor = (
  { giaddr, ciaddr }: DhcpMessage,
  subnets: ReadonlyArray<SubnetSettings>,
  server: Address,
): SubnetSettings | undefined => {
  const at = giaddr !== 0 ? giaddr : ciaddr !== 0 ? ciaddr : server
  return subnets.find((subnet) => inSubnet(at, subnet))
}

const refusalOf = (
  message: DhcpMessage,
  { answers }: DhcpSite,
  machine: RegisteredMachine | undefined,
  subnet: SubnetSettings | undefined,
): string | undefined => {
  if (message.options.get(OPTION.messageType) === undefined) return "it speaks BOOTP, which is not served"
  if (subnet === undefined) return "it is in a subnet that is not served"
  const strange = machine === undefined && answers === "boot" && firmwareOf(message).kind === "system"
  return strange ? "it is not registered, and does not boot over the network" : undefined
}

/** RFC 8357 §5.2: the relay listens where it sent from, and says so in sub-option 19 of option 82. */
const RELAY_SOURCE_PORT = 19

const relayPort = ({ options }: DhcpMessage, from: number): number =>
  within(options.get(OPTION.relayAgent) ?? new Uint8Array(0)).has(RELAY_SOURCE_PORT) ? from : SERVER_PORT

/** RFC 2131 §4.1: to the relay, to the address it has, or to everybody; on 4011 back to where it came from. */
const destination = (
  request: DhcpMessage,
  out: DhcpMessage,
  from: { readonly address: Address; readonly port: number },
  port: DhcpPort,
): { readonly address: Address; readonly port: number } => {
  if (port === 4011) return from
  if (request.giaddr !== 0) return { address: request.giaddr, port: relayPort(request, from.port) }
  const type = out.options.get(OPTION.messageType)?.[0]
  if (request.ciaddr !== 0 && type !== MESSAGE_TYPE.nak) return { address: request.ciaddr, port: CLIENT_PORT }
  return { address: BROADCAST, port: CLIENT_PORT }
}
