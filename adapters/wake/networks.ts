/** The networks of this machine, each with the address that everybody in it hears. */
import type { NetworkInterfaceInfo } from "node:os"

export interface Network {
  /** The interface's name and own address. */
  readonly name: string
  readonly address: string
  readonly broadcast: string
}

const numberOf = (address: string): number => address.split(".").reduce((sum, part) => sum * 256 + Number(part), 0)
const textOf = (n: number): string => [n >>> 24, (n >>> 16) & 255, (n >>> 8) & 255, n & 255].join(".")

const broadcastOf = (address: string, netmask: string): string =>
  textOf((numberOf(address) | (~numberOf(netmask) >>> 0)) >>> 0)

/** Those whose PCs the server reaches: that of its own address; listening on every address, all but loopback. */
export const networksOf = (
  listed: NodeJS.Dict<ReadonlyArray<NetworkInterfaceInfo>>,
  serverAddress: string,
): ReadonlyArray<Network> =>
  Object.entries(listed).flatMap(([name, addresses = []]) =>
    addresses
      .filter(({ family, address, internal }) =>
        family === "IPv4" && serverAddress === "0.0.0.0" ? !internal : address === serverAddress,
      )
      .filter(({ family }) => family === "IPv4")
      .map(({ address, netmask }) => ({ name, address, broadcast: broadcastOf(address, netmask) })),
  )
