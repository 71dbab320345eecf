/**
 * Addresses lent to machines that have none recorded: who has which, until when.
 *
 *     free ─► offered ─► leased ─► free          declined: nobody gets it for a while
 *               └──────────┴─► (expires) free
 *
 * **Details** A machine gets the address it had, else the one it asks for, else one that nobody had yet, else the one that is free longest. So
 * a machine that comes back finds its address as long as there is any choice. One address belongs to one machine at a time: the two
 * maps are changed together, and only here. An address recorded for a registered client is never lent (`reserved`). Plain data and a time
 * that comes in: the same calls give the same addresses.
 *
 * **Gotchas** What was leased must be written down before the machine is told; `DhcpServer` waits for that.
 */
import { limits } from "../../core/limits.ts"
import type { Address } from "./address.ts"

export interface Lease {
  readonly mac: string
  readonly address: Address
  /** UTC milliseconds: when it was offered, leased, given back or declined, and how long that holds. */
  readonly at: number
  readonly until: number
  readonly state: "offered" | "leased" | "declined"
}

export interface LeaseRange {
  readonly from: Address
  readonly to: Address
}

export interface LeasesInput {
  readonly ranges: ReadonlyArray<LeaseRange>
  /** Recorded for a registered client, or otherwise not to be lent. */
  readonly reserved: (address: Address) => boolean
}

export class Leases {
  readonly #byAddress = new Map<Address, Lease>()
  readonly #byMac = new Map<string, Lease>()
  readonly #reserved: LeasesInput["reserved"]
  #ranges: LeasesInput["ranges"]
  /** Next address that nobody had yet. */
  #fresh: { range: number; address: Address }

  /** Nothing becomes free before, so nobody looks: a flood of strangers would have all addresses looked at for each. */
  #fullUntil = 0

  constructor({ ranges, reserved }: LeasesInput, kept: ReadonlyArray<Lease> = []) {
    this.#reserved = reserved
    this.#ranges = ranges
    this.#fresh = { range: 0, address: ranges[0]?.from ?? 0 }
    for (const lease of kept) if (this.#lendable(lease.address)) this.#put(lease)
  }

  /** Lends from these from now on. Who has an address outside of them is given another one when it asks next. */
  lendFrom(ranges: LeasesInput["ranges"]): void {
    this.#ranges = ranges
    this.#fresh = { range: 0, address: ranges[0]?.from ?? 0 }
    this.#fullUntil = 0
  }

  get size(): number {
    return this.#byAddress.size
  }

  entries(): ReadonlyArray<Lease> {
    return [...this.#byAddress.values()]
  }

  /** What the machine has now, offered or leased. */
  of(mac: string, now: number): Lease | undefined {
    const lease = this.#byMac.get(mac)
    return lease !== undefined && lease.until > now && this.#lendable(lease.address) ? lease : undefined
  }

  /** Who else has an address now, though it may be recorded for a registered client since. */
  other(mac: string, address: Address, now: number): Lease | undefined {
    const lease = this.#byAddress.get(address)
    return lease !== undefined && lease.mac !== mac && lease.until > now ? lease : undefined
  }

  /** Keeps an address for the machine for as long as an offer stands; undefined when there is none left. */
  offer(mac: string, asked: Address | undefined, now: number): Address | undefined {
    const mine = this.#byMac.get(mac)
    const had = mine !== undefined && this.#lendable(mine.address) ? mine : undefined
    if (had !== undefined && had.state === "leased" && had.until > now) return had.address
    const address = had?.address ?? this.#choose(asked, now)
    if (address === undefined) return undefined
    if (mine !== undefined && mine.address !== address) this.#take(mine)
    const until = now + limits.dhcpOfferSeconds * 1000
    this.#put({ mac, address, at: now, until, state: "offered" })
    return address
  }

  /** The machine took the address; undefined when it may not have it. */
  lease(mac: string, address: Address, seconds: number, now: number): Lease | undefined {
    const before = this.#byAddress.get(address)
    const may = this.#lendable(address) && (before === undefined || before.mac === mac || before.until <= now)
    if (!may || before?.state === "declined") return undefined
    const mine = this.#byMac.get(mac)
    if (mine !== undefined && mine.address !== address) this.#take(mine)
    const lease: Lease = { mac, address, at: now, until: now + seconds * 1000, state: "leased" }
    this.#put(lease)
    return lease
  }

  /**
   * The machine gave it back; it may have it again. Not believed soon after it was leased: the message may be one of before, which was late,
   * and the machine uses the address by now.
   */
  release(mac: string, address: Address, now: number): Lease | undefined {
    const lease = this.#byAddress.get(address)
    if (lease?.mac !== mac || lease.state !== "leased") return undefined
    if (now < lease.at + limits.dhcpDatagramSecondsMax * 1000) return undefined
    const ended: Lease = { ...lease, at: now, until: now }
    this.#fullUntil = 0
    this.#put(ended)
    return ended
  }

  /** A machine found the address in use. Only who was given it can say so. */
  decline(mac: string, address: Address, now: number): Lease | undefined {
    const lease = this.#byAddress.get(address)
    if (lease?.mac !== mac) return undefined
    this.#take(lease)
    const until = now + limits.dhcpDeclinedSeconds * 1000
    const declined: Lease = { mac: "", address, at: now, until, state: "declined" }
    this.#byAddress.set(address, declined)
    return declined
  }

  #put(lease: Lease): void {
    const other = this.#byAddress.get(lease.address)
    if (other !== undefined) this.#take(other)
    const before = this.#byMac.get(lease.mac)
    if (before !== undefined) this.#take(before)
    this.#byAddress.set(lease.address, lease)
    if (lease.state !== "declined") this.#byMac.set(lease.mac, lease)
  }

  #take(lease: Lease): void {
    this.#byAddress.delete(lease.address)
    if (this.#byMac.get(lease.mac)?.address === lease.address) this.#byMac.delete(lease.mac)
  }

  #lendable(address: Address): boolean {
    return this.#ranges.some(({ from, to }) => address >= from && address <= to) && !this.#reserved(address)
  }

  #isFree(address: Address, now: number): boolean {
    const lease = this.#byAddress.get(address)
    return this.#lendable(address) && (lease === undefined || lease.until <= now)
  }

  #choose(asked: Address | undefined, now: number): Address | undefined {
    if (asked !== undefined && this.#isFree(asked, now)) return asked
    return this.#neverHad() ?? this.#freeLongest(now)
  }

  #neverHad(): Address | undefined {
    const ranges = this.#ranges
    const at = this.#fresh
    while (at.range < ranges.length) {
      const { to } = ranges[at.range]!
      while (at.address <= to) {
        const address = at.address++
        if (!this.#byAddress.has(address) && this.#lendable(address)) return address
      }
      at.range++
      at.address = ranges[at.range]?.from ?? 0
    }
    return undefined
  }

  /** Among those whose time is over, the one over longest. */
  #freeLongest(now: number): Address | undefined {
    if (now < this.#fullUntil) return undefined
    let found: Lease | undefined
    for (const lease of this.#byAddress.values())
      if (this.#lendable(lease.address) && (found === undefined || lease.until < found.until)) found = lease
    if (found !== undefined && found.until <= now) return found.address
    this.#fullUntil = found?.until ?? Number.POSITIVE_INFINITY
    return undefined
  }
}
