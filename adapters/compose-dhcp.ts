/**
 * The composition root's part for DHCP: the site's clients, the leases on disk and one network interface, behind one listener.
 *
 * **Details** The interface must have the server's address: PCs are told that address for their boot files and disks, so nothing less is of use
 * to them.
 */
import { existsSync } from "node:fs"
import { hostname, networkInterfaces } from "node:os"
import { join } from "node:path"
import { effectiveOptions } from "../core/domain/group-links.ts"
import { fail } from "../core/errors.ts"
import type { Host } from "../core/host.ts"
import { catalogueProjection } from "../core/projections/catalogue.ts"
import { bootFolder } from "../core/runtime/boot-folder.ts"
import type { DhcpConfig, ServeConfig } from "../core/runtime/config.ts"
import type { LivePeers } from "../core/runtime/live-peers.ts"
import { makeChange } from "../core/runtime/operations/change.ts"
import type { OpenedSite } from "./compose.ts"
import { parseAddress } from "./dhcp/address.ts"
import type { BootProgramRow } from "./dhcp/boot-programs.ts"
import { describeDhcpEvent } from "./dhcp/describe-event.ts"
import { openLeaseJournal } from "./dhcp/lease-journal.ts"
import { Leases } from "./dhcp/leases.ts"
import { secureBootRows } from "./dhcp/secure-boot.ts"
import { type DhcpEvent, listenDhcp } from "./dhcp/server.ts"
import { dhcpSettings, firmwareRows, type InterfaceAddress } from "./dhcp/settings.ts"
import { isRecorded, makeDhcpSite } from "./dhcp/site.ts"
import { localJournalFile } from "./host/journal-file.ts"

const LEASES = "dhcp-leases"

export interface DhcpComposition {
  readonly dataDir: string
  readonly config: ServeConfig
  readonly dhcp: DhcpConfig
  readonly opened: OpenedSite
  readonly live: LivePeers
  /** What else is served, as `address:port`. */
  readonly listeners: { readonly tftp?: string | undefined; readonly http?: string | undefined }
  readonly onEvent: (event: { readonly level: "error" | "info" | "debug"; readonly text: string }) => void
}

/** @throws CONFIG_INVALID PORT_IN_USE LISTEN_FAILED STORE_DAMAGED */
export const serveDhcp = async (given: DhcpComposition) => {
  const { dataDir, config, dhcp, opened, live, listeners, onEvent } = given
  const { parts, host } = opened
  await parts.views.state(catalogueProjection)
  const projector = await parts.views.projector(catalogueProjection)
  const catalogue = () => projector.state(catalogueProjection)
  const at = ownAddress(dhcp.interface, config.address)
  const { subnets, ranges } = dhcpSettings(dhcp.own, at, dhcp.relayed)
  const journal = await openLeaseJournal(localJournalFile(join(dataDir, LEASES)))
  const leases = new Leases({ ranges, reserved: (address) => isRecorded(catalogue(), address) }, journal.kept)
  const site = makeDhcpSite({
    ...{ mode: dhcp.mode, subnets, answers: dhcp.answers, catalogue },
    boot: {
      tftp: listeners.tftp === undefined ? undefined : parseAddress(config.address),
      http: listeners.http === undefined ? undefined : `http://${listeners.http}`,
      programs: [...firmwareRows(dhcp.firmware), ...(await signedRows(given))],
    },
    liveAddress: live.addressOf,
    liveClient: live.clientAt,
    optionsOf: (client) =>
      Object.fromEntries(effectiveOptions(catalogue(), client).map(({ key, value }) => [key, value])),
  })
  const change = makeChange(parts)
  const take = (e: DhcpEvent) => {
    onEvent(describeDhcpEvent(e))
    // What a client found in use is not its own any more (RFC 2131 §4.3.3); the log says since when.
    if (e.type !== "declined" || e.registered === undefined) return
    const actor = { kind: "server", name: hostname() } as const
    change({ type: "ChangeClient", client: e.registered, address: null }, { actor }).catch((error: unknown) =>
      onEvent({ level: "error", text: `dhcp ${e.registered}: its address could not be taken from it: ${error}` }),
    )
  }
  return listenDhcp({
    ...{ address: config.address, port: dhcp.port, proxyPort: dhcp.proxyPort },
    keepToInterface: keeper(dhcp.interface, host),
    ...{ site: () => site, leases, journal, onEvent: take, now: parts.now },
  })
}

/** For signed boot programs among the files that are served, as they are at the start. */
const signedRows = async ({ dataDir, config, listeners }: DhcpComposition): Promise<ReadonlyArray<BootProgramRow>> => {
  if (listeners.tftp === undefined && listeners.http === undefined) return []
  const folder = await bootFolder(config.bootFiles, dataDir)
  return secureBootRows((name) => existsSync(join(folder, name)))
}

/** @throws CONFIG_INVALID */
const ownAddress = (name: string, address: string): InterfaceAddress => {
  const refuse = (why: string) => fail("CONFIG_INVALID", { file: "the settings of DHCP", why })
  const all = networkInterfaces()
  const addresses = all[name]?.filter((a) => a.family === "IPv4")
  if (addresses === undefined)
    throw refuse(
      `interface: ${name} is not there, or has no link or no address; there are ${Object.keys(all).join(", ")}`,
    )
  const own = addresses.find((a) => a.address === address)
  if (own?.cidr) return { interface: name, cidr: own.cidr }
  const has = addresses.map((a) => a.address).join(", ") || "none"
  throw refuse(`address: PCs on ${name} cannot reach ${address}; give one of its own with --address (it has ${has})`)
}

/** Loopback has no broadcasts. A machine with one interface has nobody else to answer by mistake. */
const keeper = (name: string, { bindToDevice }: Host): ((fd: number) => boolean) | undefined => {
  if (name === "lo") return undefined
  if (bindToDevice !== undefined) return (fd) => bindToDevice(fd, name)
  const others = Object.entries(networkInterfaces()).filter(([other, a]) => other !== name && !a?.[0]?.internal)
  return () => others.length === 0
}
