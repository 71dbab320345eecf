/**
 * What a DHCP answer is made of, as the rest of the server knows it: settings of a subnet, the machine's entry, where it boots from.
 *
 * **Details** Everything here is plain data, so that `reply` is a function of a message and a plan, and a packet of last week can be answered again.
 */
import type { Address, Subnet } from "./address.ts"
import type { BootProgramRow } from "./boot-programs.ts"

/** `full`: gives addresses. `proxy`: boot information only, beside a server that gives addresses (Intel PXE 2.1 §2.1). */
export type DhcpMode = "full" | "proxy"

export interface SubnetSettings extends Subnet {
  readonly routers: ReadonlyArray<Address>
  readonly nameServers: ReadonlyArray<Address>
  readonly ntpServers: ReadonlyArray<Address>
  readonly routes: ReadonlyArray<{ readonly to: Subnet; readonly router: Address }>
  /** Empty for none. */
  readonly domain: string
  readonly leaseSeconds: number
}

export interface BootSource {
  /** Where TFTP serves, or undefined where it does not. */
  readonly tftp: Address | undefined
  /** `http://10.0.0.1:8080`, without a slash at the end; undefined where HTTP is not served. */
  readonly http: string | undefined
  /** Rows that go before the table of firmware. */
  readonly programs: ReadonlyArray<BootProgramRow>
}

export interface DhcpPlan {
  readonly mode: DhcpMode
  /** Ours, as the machine can reach it; the server identifier. */
  readonly server: Address
  readonly subnet: SubnetSettings
  /** The machine's MAC, lower case with colons. */
  readonly mac: string
  /** Its name, where it is registered. */
  readonly name: string | undefined
  /** The one address it may have: recorded for it, or lent. Undefined where there is none for it. */
  readonly address: Address | undefined
  /** An address that it uses in a session now; it keeps that although its entry changed. */
  readonly liveAddress: Address | undefined
  readonly boot: BootSource
  /** The model that its SMBIOS names, where that is known. */
  readonly product?: string | undefined
  /** A boot program chosen for this machine by the operator. */
  readonly program: string | undefined
}
