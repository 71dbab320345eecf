/**
 * Whether the interface that DHCP is to serve can be served: there, with its link, with the server's address.
 *
 * **Details** A server that starts with its machine is early: the switch still negotiates, the address comes with the link. That is waited for. A name that
 * no interface has, and an address that another one has, are mistakes, and refused.
 */
import type { NetworkInterfaceInfo } from "node:os"
import { refuseSetting } from "../../core/runtime/refused-setting.ts"

export interface InterfaceNow {
  readonly name: string
  /** The server's. */
  readonly address: string
  /** As the operating system lists them, which leaves out those without a link. */
  readonly listed: NodeJS.Dict<ReadonlyArray<NetworkInterfaceInfo>>
  /** All there are, with or without a link; empty where the system does not tell. */
  readonly devices: ReadonlyArray<string>
}

export type InterfaceState =
  | { readonly type: "ready" /** `10.0.0.1/24` */; readonly cidr: string }
  | { readonly type: "waits"; readonly why: string }

/** @throws CONFIG_INVALID */
export const interfaceState = ({ name, address, listed, devices }: InterfaceNow): InterfaceState => {
  const addresses = listed[name]?.filter(({ family }) => family === "IPv4") ?? []
  const own = addresses.find((a) => a.address === address)
  if (own?.cidr) return { type: "ready", cidr: own.cidr }
  if (addresses.length > 0) {
    const has = addresses.map((a) => a.address).join(", ")
    throw refuseSetting(
      ["address"],
      `PCs on ${name} cannot reach ${address}; give one of its own with --address (it has ${has})`,
    )
  }
  if (listed[name] !== undefined) return { type: "waits", why: `${name} has no IPv4 address yet` }
  if (devices.includes(name))
    return {
      type: "waits",
      why: `${name} has no link, or no address, yet; look at its cable, and at 'ip addr show ${name}'`,
    }
  const there = new Set([...Object.keys(listed), ...devices])
  throw refuseSetting(["interface"], `${name} is not there; there are ${[...there].join(", ")}`)
}
