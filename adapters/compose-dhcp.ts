/**
 * The composition root's part for DHCP: the site's clients, the leases on disk and one network interface, behind one listener.
 *
 * **Details** The interface must have the server's address: PCs are told that address for their boot files and disks, so nothing less is of use
 * to them. `waitForInterface` goes before anything is opened: what listens on the address needs it too.
 */
import { existsSync, readdirSync } from "node:fs"
import { hostname, networkInterfaces } from "node:os"
import { join } from "node:path"
import { isDeepStrictEqual } from "node:util"
import { effectiveOptions } from "../core/domain/group-links.ts"
import type { Host } from "../core/host.ts"
import { limits } from "../core/limits.ts"
import { catalogueProjection } from "../core/projections/catalogue.ts"
import { bootFolder } from "../core/runtime/boot-folder.ts"
import type { BootTracker } from "../core/runtime/boot-tracker.ts"
import type { DhcpConfig, ServeConfig } from "../core/runtime/config.ts"
import type { HandedSocket } from "../core/runtime/handed-over.ts"
import type { LivePeers } from "../core/runtime/live-peers.ts"
import type { LogLine } from "../core/runtime/log-line.ts"
import type { ServerCounts } from "../core/runtime/metrics/server-counts.ts"
import { makeChange } from "../core/runtime/operations/change.ts"
import { refuseSetting } from "../core/runtime/refused-setting.ts"
import { aboutDhcp } from "./compose-log.ts"
import type { Run } from "./compose-run.ts"
import { parseAddress } from "./dhcp/address.ts"
import type { BootProgramRow } from "./dhcp/boot-programs.ts"
import { dhcpBootSign } from "./dhcp/boot-sign.ts"
import { describeDhcpEvent } from "./dhcp/describe-event.ts"
import { type InterfaceState, interfaceState } from "./dhcp/interface.ts"
import { openLeaseJournal } from "./dhcp/lease-journal.ts"
import { Leases } from "./dhcp/leases.ts"
import { secureBootRows } from "./dhcp/secure-boot.ts"
import { type DhcpEvent, listenDhcp } from "./dhcp/server.ts"
import { dhcpSettings, firmwareRows } from "./dhcp/settings.ts"
import { isRecorded, makeDhcpSite } from "./dhcp/site.ts"
import type { KeptInterface } from "./dhcp/sockets.ts"
import { localJournalFile } from "./host/journal-file.ts"

const LEASES = "dhcp-leases"

export interface DhcpComposition {
  readonly run: Run
  /** As it is at the start. */
  readonly dhcp: DhcpConfig
  readonly live: LivePeers
  readonly signs: Pick<BootTracker, "take" | "modelOf">
  readonly counts: ServerCounts
  /** What else is served, as `address:port`. */
  readonly listeners: { readonly tftp?: string | undefined; readonly http?: string | undefined }
  readonly handed: ReadonlyArray<HandedSocket>
  readonly onEvent: OnEvent
}

type OnEvent = (line: LogLine) => void

/** @throws CONFIG_INVALID PORT_IN_USE LISTEN_FAILED DHCP_UNCONFINED STORE_DAMAGED */
export const serveDhcp = async (given: DhcpComposition) => {
  const { run, dhcp, live, signs, counts, listeners, handed, onEvent } = given
  const { address } = run.config
  const { parts, host } = run.opened
  await parts.views.state(catalogueProjection)
  const projector = await parts.views.projector(catalogueProjection)
  const catalogue = () => projector.state(catalogueProjection)
  const plan = async (config: ServeConfig) => {
    const { answers, own, relayed, firmware } = config.dhcp ?? dhcp
    const at = interfaceNow(dhcp.interface, address)
    if (at.type === "waits") throw refuseSetting(["interface"], at.why)
    const { subnets, ranges } = dhcpSettings(own, { interface: dhcp.interface, cidr: at.cidr }, relayed)
    const site = makeDhcpSite({
      ...{ mode: dhcp.mode, subnets, answers, catalogue },
      boot: {
        tftp: listeners.tftp === undefined ? undefined : parseAddress(address),
        http: listeners.http === undefined ? undefined : `http://${listeners.http}`,
        programs: [...firmwareRows(firmware), ...(await signedRows(given, config))],
      },
      productOf: (mac) => signs.modelOf(mac)?.product,
      liveAddress: live.addressOf,
      liveClient: live.clientAt,
      optionsOf: (client) =>
        Object.fromEntries(effectiveOptions(catalogue(), client).map(({ key, value }) => [key, value])),
    })
    return { site, ranges }
  }
  let { site, ranges } = await plan(run.config)
  const journal = await openLeaseJournal(localJournalFile(join(run.dataDir, LEASES)))
  const leases = new Leases({ ranges, reserved: (lent) => isRecorded(catalogue(), lent) }, journal.kept)
  run.reloading(async (next) => {
    const planned = await plan(next)
    const apply = () => {
      site = planned.site
      if (!isDeepStrictEqual(planned.ranges, ranges)) leases.lendFrom(planned.ranges)
      ranges = planned.ranges
    }
    return { apply }
  })
  const change = makeChange(parts)
  const take = (e: DhcpEvent) => {
    onEvent({ ...describeDhcpEvent(e), about: aboutDhcp(e) })
    counts.event("dhcp", e.type === "answered" ? e.what : e.type)
    const sign = dhcpBootSign(e)
    if (sign !== undefined) signs.take(sign)
    // What a client found in use is not its own any more (RFC 2131 §4.3.3); the log says since when.
    if (e.type !== "declined" || e.registered === undefined) return
    const actor = { kind: "server", name: hostname() } as const
    change({ type: "ChangeClient", client: e.registered, address: null }, { actor }).catch((error: unknown) =>
      onEvent({ level: "error", text: `dhcp ${e.registered}: its address could not be taken from it: ${error}` }),
    )
  }
  return listenDhcp({
    ...{ address, port: dhcp.port, proxyPort: dhcp.proxyPort },
    ...{ interface: keptInterface(dhcp, host), handed },
    ...{ site: () => site, leases, journal, onEvent: take, now: parts.now },
    datagrams: host.datagrams,
  })
}

/** For signed boot programs among the files that are served, as they are when settings are read. */
const signedRows = async (
  { run, listeners }: DhcpComposition,
  { bootFiles }: ServeConfig,
): Promise<ReadonlyArray<BootProgramRow>> => {
  if (listeners.tftp === undefined && listeners.http === undefined) return []
  const folder = await bootFolder(bootFiles, run.dataDir)
  return secureBootRows((name) => existsSync(join(folder, name)))
}

/** Settles with true when the interface has its link and the address, with false when the server is to stop first. @throws CONFIG_INVALID */
export const waitForInterface = async (
  { address, dhcp }: ServeConfig,
  { stopped, onEvent }: { readonly stopped: Promise<void>; readonly onEvent: OnEvent },
): Promise<boolean> => {
  if (dhcp === undefined) return true
  let stops = false
  void stopped.then(() => (stops = true))
  let said = ""
  for (;;) {
    const state = interfaceNow(dhcp.interface, address)
    if (state.type === "ready") {
      if (said !== "") onEvent({ level: "error", text: `dhcp: ${dhcp.interface} has its link and ${address} now` })
      return true
    }
    if (state.why !== said) onEvent({ level: "error", text: `dhcp: nothing is served yet: ${state.why}` })
    said = state.why
    await Promise.race([stopped, sleep(limits.dhcpInterfaceLookMillis)])
    if (stops) return false
  }
}

/** Whether the interface of DHCP still has its link and the server's address. */
export const isServable = ({ address, dhcp }: ServeConfig): boolean => {
  try {
    return dhcp === undefined || interfaceNow(dhcp.interface, address).type === "ready"
  } catch {
    return false
  }
}

const sleep = (millis: number) => new Promise<void>((resolve) => setTimeout(resolve, millis))

const interfaceNow = (name: string, address: string): InterfaceState =>
  interfaceState({ name, address, listed: networkInterfaces(), devices: devices() })

/** Linux lists them all there. */
const devices = (): ReadonlyArray<string> => {
  try {
    return readdirSync("/sys/class/net")
  } catch {
    return []
  }
}

/** Loopback has no broadcasts. A machine with one interface has nobody else to answer by mistake. */
const keptInterface = ({ interface: name, unconfined }: DhcpConfig, host: Host): KeptInterface | undefined => {
  if (name === "lo") return undefined
  const all = Object.entries(networkInterfaces())
  return {
    name,
    others: all.flatMap(([other, addresses]) => (other === name || addresses?.[0]?.internal ? [] : [other])),
    force: unconfined,
    keep: (fd) => host.bindToDevice?.(fd, name) ?? false,
    keptTo: (fd) => host.boundDevice?.(fd),
  }
}
