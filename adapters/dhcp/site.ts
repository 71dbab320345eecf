/** Who is who for DHCP: the link table's machines, and who uses which address now. */
import type { Catalogue, ClientEntry } from "../../core/domain/catalogue.ts"
import { type Address, addressText, parseAddress } from "./address.ts"
import type { DhcpSite, RegisteredMachine } from "./answer.ts"

/** Boot option of a client or a group that names its boot program. */
export const BOOT_PROGRAM = "boot-program"

export interface DhcpSiteInput extends Pick<DhcpSite, "mode" | "subnets" | "boot" | "answers" | "productOf"> {
  readonly catalogue: () => Catalogue
  /** The address from which a client uses a disk now. */
  readonly liveAddress: (clientId: string) => string | undefined
  /** The client that uses a disk from this address now. */
  readonly liveClient: (address: string) => string | undefined
  /** Boot options that hold for a client, its own and its group's. */
  readonly optionsOf: (client: ClientEntry) => Readonly<Record<string, string>>
}

export const makeDhcpSite = (input: DhcpSiteInput): DhcpSite => {
  const { mode, subnets, boot, answers, productOf, catalogue, liveAddress, liveClient, optionsOf } = input
  const machineOf = (client: ClientEntry): RegisteredMachine => ({
    name: client.name,
    address: client.address === null ? undefined : parseAddress(client.address),
    liveAddress: parseAddress(liveAddress(client.id) ?? ""),
    program: optionsOf(client)[BOOT_PROGRAM],
  })
  return {
    ...{ mode, subnets, boot, answers, productOf },
    machine(mac) {
      const client = catalogue().clientsByMac.get(mac)
      return client === undefined ? undefined : machineOf(client)
    },
    liveHolder(address) {
      const id = liveClient(addressText(address))
      return id === undefined ? undefined : catalogue().clients.get(id)?.mac
    },
  }
}

/** Whether an address is recorded for a registered client. */
export const isRecorded = (catalogue: Catalogue, address: Address): boolean =>
  catalogue.clientsByAddress.has(addressText(address))
