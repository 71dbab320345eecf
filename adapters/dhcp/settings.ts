/**
 * What the operator says about DHCP, made into subnets and ranges; every refusal names the key.
 *
 * **Details** The subnet of the interface needs no entry: its address and mask are the interface's own. Subnets behind relays are `[[subnet]]` in
 * imagelink.toml. Without a router, machines get none: an iSCSI disk in the same subnet needs none, and Windows would send its traffic there.
 */
import { limits } from "../../core/limits.ts"
import type { FirmwareConfig, SubnetConfig } from "../../core/runtime/config-file.ts"
import { refuseSetting, type SettingPath } from "../../core/runtime/refused-setting.ts"
import { type Address, inSubnet, parseAddress, parseSubnet, type Subnet } from "./address.ts"
import type { BootProgramRow } from "./boot-programs.ts"
import type { LeaseRange } from "./leases.ts"
import type { SubnetSettings } from "./plan.ts"

export interface DhcpSettings {
  readonly subnets: ReadonlyArray<SubnetSettings>
  readonly ranges: ReadonlyArray<LeaseRange>
}

/** An address of this machine, as the operating system lists it. */
export interface InterfaceAddress {
  readonly interface: string
  /** `10.0.0.1/24` */
  readonly cidr: string
}

const refuse = (path: SettingPath, expected: string, got: string) =>
  refuseSetting(path, `expected ${expected}, got ${JSON.stringify(got)}`)

/** Where a key of a subnet is said. */
type PathOf = (key: string) => SettingPath
const ownKeys: Readonly<Record<string, string>> = {
  network: "interface",
  range: "dhcp-range",
  routers: "dhcp-router",
  "name-servers": "dhcp-name-server",
}
const ofOwn: PathOf = (key) => [ownKeys[key]!]
const ofRelayed =
  (i: number): PathOf =>
  (key) => ["subnet", i, key]

const addressIn = (path: SettingPath, text: string): Address => {
  const address = parseAddress(text)
  if (address === undefined) throw refuse(path, "an IPv4 address", text)
  return address
}

/** @throws CONFIG_INVALID */
export const dhcpSettings = (
  own: SubnetConfig,
  at: InterfaceAddress,
  relayed: ReadonlyArray<SubnetConfig>,
): DhcpSettings => {
  const all = [{ ...own, network: at.cidr }, ...relayed].map((config, i) => {
    const pathOf = i === 0 ? ofOwn : ofRelayed(i - 1)
    const subnet = parseSubnet(config.network ?? "")
    if (subnet === undefined) throw refuse(pathOf("network"), "a network like 10.1.0.0/24", config.network ?? "")
    return { settings: subnetOf(config, subnet, pathOf), ranges: rangesOf(config, subnet, pathOf) }
  })
  const ranges = all.flatMap((subnet) => subnet.ranges)
  const lent = ranges.reduce((sum, { from, to }) => sum + to - from + 1, 0)
  if (lent > limits.dhcpPoolAddressesMax)
    throw refuse(["dhcp-range"], `at most ${limits.dhcpPoolAddressesMax} addresses in all`, `${lent}`)
  return { subnets: all.map(({ settings }) => settings), ranges }
}

const subnetOf = (config: SubnetConfig, subnet: Subnet, pathOf: PathOf): SubnetSettings => ({
  ...subnet,
  routers: (config.routers ?? []).map((text) => addressIn(pathOf("routers"), text)),
  nameServers: (config["name-servers"] ?? []).map((text) => addressIn(pathOf("name-servers"), text)),
  ntpServers: [],
  routes: [],
  domain: config.domain ?? "",
  leaseSeconds: config["lease-seconds"] ?? limits.dhcpLeaseSecondsDefault,
})

/** `10.0.0.100-10.0.0.199`, both ends lent. */
const rangesOf = ({ range }: SubnetConfig, subnet: Subnet, pathOf: PathOf): ReadonlyArray<LeaseRange> => {
  if (range === undefined) return []
  const [first = "", last = "", more] = range.split("-")
  const [from, to] = [parseAddress(first.trim()), parseAddress(last.trim())]
  const whole = from !== undefined && to !== undefined && more === undefined && from <= to
  if (!whole || !inSubnet(from, subnet) || !inSubnet(to, subnet))
    throw refuse(pathOf("range"), "two addresses of the subnet like 10.0.0.100-10.0.0.199", range)
  return [{ from, to }]
}

/** The operator's rows for the table of firmware. @throws CONFIG_INVALID */
export const firmwareRows = (configs: ReadonlyArray<FirmwareConfig>): ReadonlyArray<BootProgramRow> =>
  configs.map(({ program, mac, machine, product, architecture, "vendor-class": vendorClass }, i) => {
    if ([mac, machine, product, architecture, vendorClass].every((key) => key === undefined)) {
      const wanted = "vendor-class, mac, machine, product or architecture to say which one boots it"
      throw refuse(["firmware", i], wanted, program)
    }
    return {
      program,
      ...(vendorClass === undefined ? {} : { vendorClass }),
      ...(mac === undefined ? {} : { macs: [macStart(mac, i)] }),
      ...(machine === undefined ? {} : { machineIds: [machine.toLowerCase()] }),
      ...(product === undefined ? {} : { products: [product] }),
      ...(architecture === undefined ? {} : { architectures: [architecture] }),
    }
  })

/** `54-BF-64` as MACs are written here. */
const macStart = (text: string, i: number): string => {
  if (!/^[0-9a-f]{2}([:-][0-9a-f]{2}){0,5}$/i.test(text))
    throw refuse(["firmware", i, "mac"], "the beginning of a MAC like 54-BF-64", text)
  return text.toLowerCase().replaceAll("-", ":")
}
