/** The composition root's part for settings that are only judged: what a server would refuse of them at its start, as far as it can be told without starting one. */
import { networkInterfaces } from "node:os"
import { bootFolder } from "../core/runtime/boot-folder.ts"
import type { ServeConfig } from "../core/runtime/config.ts"
import { mayListen } from "./api/listen.ts"
import { readIdentity } from "./api/tls.ts"
import { secretsIn } from "./compose-listeners.ts"
import { dhcpSettings, firmwareRows } from "./dhcp/settings.ts"
import { decodeElsewhere } from "./iscsi/elsewhere.ts"
import { portalAddress } from "./iscsi/portal-address.ts"

/** @throws CONFIG_INVALID FILE_UNREADABLE */
export const judgeSettings = async (config: ServeConfig, dataDir: string): Promise<void> => {
  const { address, iscsiPort, iscsiElsewhere = {}, httpPort, tftpPort, apiPort, apiAddress, apiTls, dhcp } = config
  if (iscsiPort !== "off") decodeElsewhere(iscsiElsewhere, portalAddress(address, iscsiPort))
  secretsIn(config)
  if (apiPort !== "off") mayListen(apiAddress, apiTls !== undefined)
  if (apiTls !== undefined) readIdentity(apiTls)
  if (httpPort !== "off" || tftpPort !== "off") await bootFolder(config.bootFiles, dataDir)
  if (dhcp === undefined) return
  firmwareRows(dhcp.firmware)
  dhcpSettings(dhcp.own, { interface: dhcp.interface, cidr: networkOf(dhcp.interface, address) }, dhcp.relayed)
}

/** A file may be judged where the interface is not, or not yet: any range could be right then. */
const networkOf = (name: string, address: string): string =>
  networkInterfaces()[name]?.find((own) => own.address === address)?.cidr ?? `${address}/0`
