/**
 * The composition root's other half: a running server is the opened site, its disks, and one listener for each protocol.
 *
 * It stands apart from compose.ts so that a command which only asks something loads no protocol. What starts last stops first.
 */
import { readFileSync, statSync } from "node:fs"
import { hostname, networkInterfaces } from "node:os"
import { parse } from "smol-toml"
import type { Disks } from "../core/block/lease.ts"
import { findClient } from "../core/domain/lookup.ts"
import { fail, ImagelinkError, isImagelinkError } from "../core/errors.ts"
import { followLog } from "../core/log/tiles/follower.ts"
import { catalogueProjection } from "../core/projections/catalogue.ts"
import { type BootFiles, folderFiles, withAutoexec } from "../core/runtime/boot-files.ts"
import { bootFolder } from "../core/runtime/boot-folder.ts"
import type { BootServer } from "../core/runtime/boot-preview.ts"
import { makeBootRecorder } from "../core/runtime/boot-recorder.ts"
import { autoexecScript, NEXT_SERVER } from "../core/runtime/boot-script.ts"
import { type BootScripts, isSuper, makeBootScripts } from "../core/runtime/boot-scripts.ts"
import type { BootSign, BootSigns } from "../core/runtime/boot-signs.ts"
import { makeBootTracker } from "../core/runtime/boot-tracker.ts"
import type { StaleBoot } from "../core/runtime/boots.ts"
import type { ServeConfig } from "../core/runtime/config.ts"
import { makeDamageRecorder } from "../core/runtime/damage-recorder.ts"
import { checkUnverified } from "../core/runtime/first-checks.ts"
import { HandedSockets } from "../core/runtime/handed-over.ts"
import { type LivePeers, makeLivePeers } from "../core/runtime/live-peers.ts"
import { makeLocalSite } from "../core/runtime/local-site.ts"
import { makeMerging } from "../core/runtime/merging.ts"
import { makeServerCounts, type ServerCounts } from "../core/runtime/metrics/server-counts.ts"
import { makeChange } from "../core/runtime/operations/change.ts"
import { OVERLAYS } from "../core/runtime/overlay-folders.ts"
import { OverlayReserve, type ReserveCrossed } from "../core/runtime/overlay-reserve.ts"
import { makeRegistrar } from "../core/runtime/registration.ts"
import { makeScrub } from "../core/runtime/scrub/scrub.ts"
import { makeSleep } from "../core/runtime/scrub/sleep.ts"
import { makeServing } from "../core/runtime/serving.ts"
import type { Site } from "../core/runtime/site.ts"
import { sizeText } from "../core/runtime/sizes.ts"
import type { OnDamage } from "../core/runtime/version-sources.ts"
import packageJson from "../package.json" with { type: "json" }
import type { Wires } from "./cli/demo/wires.ts"
import { composeWith, type OpenedSite, openParts, tokens } from "./compose.ts"
import { serveApi } from "./compose-api.ts"
import { serveDhcp } from "./compose-dhcp.ts"
import { makeWatched } from "./compose-metrics.ts"
import { httpBootSign } from "./http/boot-sign.ts"
import { describeHttpEvent, type HttpEvent } from "./http/events.ts"
import { listenHttp } from "./http/server.ts"
import { describeIscsiEvent } from "./iscsi/describe-event.ts"
import { decodeElsewhere } from "./iscsi/elsewhere.ts"
import { folderKeeper } from "./iscsi/keeper.ts"
import { portalAddress } from "./iscsi/peer.ts"
import { decodeSecrets, type SecretOf } from "./iscsi/secrets.ts"
import { listenIscsi } from "./iscsi/server.ts"
import type { NbdEvent } from "./nbd/connection.ts"
import { describeNbdEvent } from "./nbd/describe-event.ts"
import { listenNbd } from "./nbd/server.ts"
import { tftpBootSign } from "./tftp/boot-sign.ts"
import { describeTftpEvent, type TftpEvent } from "./tftp/events.ts"
import { listenTftp } from "./tftp/server.ts"

export { waitForInterface } from "./compose-dhcp.ts"

/** A line of the server's own log. */
export interface ServerEvent {
  readonly level: "error" | "info" | "debug"
  readonly text: string
}

export interface ServerOptions {
  readonly dataDir: string
  readonly config: ServeConfig
  readonly onEvent: (event: ServerEvent) => void
  /** Sockets that a service manager opened; what is served takes its own. */
  readonly sockets?: HandedSockets
}

export interface RunningServer {
  readonly site: Site
  /** Protocol to `address:port`; the control socket's is its path. */
  readonly listeners: Readonly<Record<string, string>>
  /** The network side of simulated PCs that boot from this server, for the demo; they ask through a relay at this address. */
  pcs(relay: string): Promise<Wires>
  close(): Promise<void>
}

/** Opens the store and serves. @throws what opening throws, PORT_IN_USE LISTEN_FAILED CONFIG_INVALID PLUGIN_INVALID DATA_IN_USE */
export const startServer = async (options: ServerOptions): Promise<RunningServer> => {
  const { dataDir, config, sockets = new HandedSockets() } = options
  const container = composeWith(dataDir, async () => config.plugins)
  await container.resolve(tokens.registry)()
  const opened = await openParts({ dataDir, create: true, whole: true, container })
  let serves = false
  const counts = makeServerCounts()
  const startedAt = opened.parts.now()
  const closers: Closers = [() => opened.release({ unused: !serves })]
  try {
    await followEvents(options, opened, closers)
    const {
      site,
      disks: served,
      scripts,
      tracker,
      bootPassword,
      listensAt,
      background,
      serving,
    } = await serveDisks(options, opened, counts, closers)
    const secretOf = config.iscsiSecrets === undefined ? () => undefined : readSecrets(config.iscsiSecrets)
    const live = makeLivePeers()
    const disks = counts.watch(live.watch(served))
    const nbd = await listenForNbd(options, disks, counts, closers)
    const iscsi = await listenForIscsi(options, opened, disks, { secretOf, bootPassword }, counts, closers)
    const http = await listenForHttp(options, scripts(portOf(iscsi.iscsi), secretOf), tracker, counts, closers)
    const tftp = await listenForTftp(options, http.http, tracker, counts, sockets, closers)
    listensAt({ ...iscsi, ...http })
    const booting = { ...tftp, ...http }
    const dhcp = await listenForDhcp(options, opened, live, tracker, counts, booting, sockets, closers)
    sockets.done()
    const watched = makeWatched({
      ...{ version: packageJson.version, startedAt, counts, parts: opened.parts, serving },
      live: tracker.list,
      listens: () => serves,
    })
    closers.push(async () => watched.close())
    const api = await serveApi({ ...options, opened, site, watched })
    closers.push(api.close)
    serves = true
    background()
    const listeners = { ...nbd, ...iscsi, ...http, ...tftp, ...dhcp, ...api.listeners }
    const pcs = async (relay: string) => (await import("./compose-pcs.ts")).simulatedPcs(listeners, relay)
    return { site, listeners, pcs, close: () => closeAll(closers) }
  } catch (e) {
    sockets.close()
    await closeAll(closers)
    throw e
  }
}

const takeSign = (signs: BootSigns, sign: BootSign | undefined): void => {
  if (sign !== undefined) signs.take(sign)
}

const isWildcard = (address: string): boolean => address === "0.0.0.0" || address === "::"

const portOf = (at: string | undefined): number | undefined =>
  at === undefined ? undefined : Number(at.slice(at.lastIndexOf(":") + 1))

type Closers = Array<() => Promise<void>>

const closeAll = async (closers: Closers): Promise<void> => {
  for (const stop of closers.splice(0).reverse()) await stop()
}

/** A log that is behind its own checkpoint, or another one, is not served. What goes wrong later is reported, and the log goes on. */
const followEvents = async ({ onEvent }: ServerOptions, { parts }: OpenedSite, closers: Closers): Promise<void> => {
  const publisher = await parts.publisher()
  await publisher.check()
  const onError = (e: ImagelinkError) =>
    onEvent({ level: "error", text: `${e.message} [${e.code}]; ${e.reason}; fix: ${e.fix}` })
  closers.push(followLog(publisher, onError).close)
}

const serverActor = { kind: "server", name: hostname() } as const

const later = (run: () => void, millis: number) => {
  const timer = setTimeout(run, millis)
  return () => clearTimeout(timer)
}

const describeStale = ({ client, boot, made, began }: StaleBoot): string =>
  `${client} showed the boot id ${boot} of ${new Date(made).toISOString()}, but a newer boot of it began at ` +
  `${new Date(began).toISOString()}: a PC that was left over from before, or two PCs with one MAC`

const describeReserve = (dataDir: string, { reserved, freeBytes, reserveBytes }: ReserveCrossed): string => {
  const [free, kept] = [freeBytes, reserveBytes].map(sizeText)
  if (!reserved) return `${free} are free on the disk of ${dataDir} again: every client may write`
  return (
    `${free} are free on the disk of ${dataDir}, and ${kept} are kept for super clients: other clients are refused new space ` +
    `[NO_SPACE]; fix: free space there, or set --overlay-reserve`
  )
}

const serveDisks = async (
  { dataDir, config, onEvent }: ServerOptions,
  opened: OpenedSite,
  counts: ServerCounts,
  closers: Closers,
) => {
  const { parts, data, host, random } = opened
  const overlays = data.folder(OVERLAYS)
  const change = makeChange(parts)
  const damage = makeDamageRecorder({
    append: (found) => change({ type: "RecordDamage", ...found }, { actor: serverActor }),
    later,
    onProblem: (text) => onEvent({ level: "error", text }),
  })
  const onDamage: OnDamage = (e, ref, cluster) => {
    onEvent({ level: "error", text: `${e.message} [${e.code}]; fix: ${e.fix}` })
    damage.record(ref.imageId, ref.version.number, cluster)
  }
  const boots = makeBootRecorder({
    append: (group) => change({ type: "RecordBoots", boots: group }, { actor: serverActor }),
    later,
    onProblem: (text) => onEvent({ level: "error", text }),
  })
  const { cacheBytes, ramBytes, overlayReserveBytes: reserveBytes, overlayQuotaBytes: quotaBytes } = config
  const onNotInRam = (e: ImagelinkError) =>
    onEvent({
      level: "error",
      text: `${e.message} [${e.code}]; ${e.reason}; it is served from its file; fix: ${e.fix}`,
    })
  await parts.views.state(catalogueProjection)
  const projector = await parts.views.projector(catalogueProjection)
  const catalogue = () => projector.state(catalogueProjection)
  const origin = parts.now() - performance.now()
  const tracker = makeBootTracker({
    now: () => origin + performance.now(),
    later,
    record: (boot) => {
      counts.boot(boot)
      boots.record(boot)
    },
    nameOf: (mac) => catalogue().clientsByMac.get(mac)?.name,
    macAt: (address) => catalogue().clientsByAddress.get(address)?.mac,
  })
  const options = { overlays, host, cacheBytes, ramBytes, onDamage, onNotInRam, watch: tracker }
  const space = async () => parts.files.space?.()
  const onCrossed = (crossed: ReserveCrossed) => onEvent({ level: "error", text: describeReserve(dataDir, crossed) })
  const reserve = new OverlayReserve({ reserveBytes, space, later, onCrossed })
  closers.push(async () => reserve.close())
  const onHeatLost = (e: ImagelinkError) => onEvent({ level: "error", text: `${e.message} [${e.code}]; fix: ${e.fix}` })
  const onStaleBoot = (stale: StaleBoot) => onEvent({ level: "error", text: describeStale(stale) })
  const serving = await makeServing(parts, {
    ...options,
    reserve,
    quotaBytes,
    onQuota: (text) => onEvent({ level: "error", text }),
    random,
    bootSecret: await opened.bootSecret(),
    onStaleBoot,
    later,
    onHeatLost,
  })
  let bootServer: BootServer | undefined
  const sleep = makeSleep(later)
  const own = { bootServer: () => bootServer, liveBoots: { list: tracker.list, sleep } }
  const site = makeLocalSite({ ...parts, serving: { ...serving, ...own } }, async () => {})
  const report = (level: ServerEvent["level"], text: string) => onEvent({ level, text })
  const scrub = makeScrub({
    parts: { ...parts, serving },
    actor: serverActor,
    bytesPerSecond: config.scrubBytesPerSecond,
    everyDays: config.scrubEveryDays,
    sleep,
    report,
  })
  const layersMax = config.mergeLayersAfter
  const merging = makeMerging({ ...parts, serving }, { actor: serverActor, layersMax, report })
  closers.push(
    site.close,
    boots.close,
    async () => tracker.close(),
    damage.close,
    serving.disks.close,
    scrub.close,
    merging.close,
  )
  await serving.disks.sweep()
  const { images } = await parts.views.state(catalogueProjection)
  await serving.heat.store.sweep(new Set(images.keys()))
  await parts.layers.sweep(await parts.views.state(catalogueProjection))
  const background = () => {
    serving.ram.start()
    void checkUnverified({ ...parts, serving }, serverActor, report).then(scrub.start)
    merging.start()
  }
  const { stacks, boots: bootIds } = serving
  const registrar = makeRegistrar({
    mode: config.registration,
    defaultImage: config.defaultImage,
    now: parts.now,
    add: (client) => {
      const rows = [{ line: 1, clientId: parts.newId(), ...client }]
      return change({ type: "ImportClients", rows, file: "registration" }, { actor: serverActor })
    },
  })
  const scripts = (iscsiPort: number | undefined, secretOf: SecretOf): BootScripts =>
    makeBootScripts({
      catalogue,
      stacks,
      boots: bootIds,
      iscsiPort,
      asksForSecret: ({ name }) => secretOf({ client: name.toLowerCase(), boot: undefined }) !== undefined,
      prefixOf,
      setNextBoot: ({ mac }, image) =>
        change(
          { type: "SetNextBoot", clients: [mac], to: image === null ? null : { kind: "image", image } },
          { actor: serverActor },
        ),
      registrar,
      signs: tracker,
      onProblem: (text) => onEvent({ level: "error", text }),
    })
  const bootPassword: BootPasswordOf = (name, boot) => {
    const client = findClient(projector.state(catalogueProjection), name)
    if (client instanceof ImagelinkError) return undefined
    const password = bootIds.password(client, boot)
    return password === undefined ? undefined : { password, isSuper: isSuper(client) }
  }
  const listensAt = ({ iscsi, http }: { readonly iscsi?: string; readonly http?: string }): void => {
    const address = isWildcard(config.address) ? undefined : config.address
    bootServer = { address, httpPort: portOf(http), iscsiPort: portOf(iscsi), prefixOf }
  }
  return { site, disks: serving.disks, scripts, tracker, bootPassword, listensAt, background, serving }
}

/** Prefix length of the network that one of this machine's addresses is in. */
const prefixOf = (address: string): number | undefined => {
  const own = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? [])
  const cidr = own.find((one) => one.address === address)?.cidr
  return typeof cidr === "string" ? Number(cidr.split("/")[1]) : undefined
}

const listenForNbd = async (
  { config, onEvent }: ServerOptions,
  disks: Disks,
  counts: ServerCounts,
  closers: Closers,
): Promise<Readonly<Record<string, string>>> => {
  const { address, nbdPort: port } = config
  if (port === "off") return {}
  const take = (e: NbdEvent) => {
    onEvent(describeNbdEvent(e))
    counts.event("nbd", e.type)
  }
  const nbd = await listenNbd({ address, port, disks, onEvent: take })
  closers.push(nbd.close)
  return { nbd: `${nbd.address}:${nbd.port}` }
}

/** Of a boot that this site made for this client. */
type BootPasswordOf = (
  client: string,
  boot: string,
) => { readonly password: string; readonly isSuper: boolean } | undefined

const listenForIscsi = async (
  { config, onEvent }: ServerOptions,
  { data, host }: OpenedSite,
  disks: Disks,
  { secretOf, bootPassword }: { readonly secretOf: SecretOf; readonly bootPassword: BootPasswordOf },
  counts: ServerCounts,
  closers: Closers,
): Promise<Readonly<Record<string, string>>> => {
  const { address, iscsiPort: port, iscsiElsewhere = {} } = config
  if (port === "off") return {}
  const iscsi = await listenIscsi({
    address,
    port,
    disks,
    keeper: folderKeeper(data.folder("reservations")),
    unansweredMax: host.unansweredMax,
    elsewhereOf: decodeElsewhere(iscsiElsewhere, portalAddress(address, port)),
    secretOf,
    bootSecretOf: (target) => {
      const known = target.boot === undefined ? undefined : bootPassword(target.client, target.boot)
      if (known === undefined) return undefined
      const given = known.isSuper || secretOf(target) !== undefined
      return { user: target.client, secret: Buffer.from(known.password, "latin1"), given }
    },
    onEvent(e) {
      onEvent(describeIscsiEvent(e, config.logLevel === "debug"))
      counts.event("iscsi", e.type)
    },
  })
  closers.push(iscsi.close)
  return { iscsi: `${iscsi.address}:${iscsi.port}` }
}

/** A file of secrets is its owner's alone. @throws FILE_UNREADABLE CONFIG_INVALID */
const readSecrets = (file: string): SecretOf => {
  let text: string
  try {
    if (process.platform !== "win32" && (statSync(file).mode & 0o077) !== 0)
      throw fail("CONFIG_INVALID", { file, why: `other users may read the secrets in it; run chmod 600 ${file}` })
    text = readFileSync(file, "utf8")
  } catch (e) {
    throw isImagelinkError(e) ? e : fail("FILE_UNREADABLE", { path: file, why: (e as Error).message })
  }
  let input: unknown
  try {
    input = parse(text)
  } catch {
    // What a parser quotes of a line may be a secret.
    throw fail("CONFIG_INVALID", { file, why: "it is not TOML" })
  }
  return decodeSecrets(file, input)
}

const listenForHttp = async (
  { dataDir, config, onEvent }: ServerOptions,
  scripts: BootScripts,
  signs: BootSigns,
  counts: ServerCounts,
  closers: Closers,
): Promise<Readonly<Record<string, string>>> => {
  const { address, httpPort: port } = config
  if (port === "off") return {}
  const files = folderFiles(await bootFolder(config.bootFiles, dataDir))
  const take = (e: HttpEvent) => {
    onEvent(describeHttpEvent(e))
    takeSign(signs, httpBootSign(e))
    counts.event("http", e.type, e.type === "sent" ? e.bytes : 0)
  }
  const http = await listenHttp({ address, port, files, scripts, onEvent: take })
  closers.push(http.close)
  return { http: `${http.address}:${http.port}` }
}

/** Where a client that came by TFTP finds its script. Listening on every address, that is where it got its file from. */
const autoexecFor = (http: string): string => {
  const port = http.slice(http.lastIndexOf(":"))
  const address = http.slice(0, -port.length)
  return autoexecScript(`http://${isWildcard(address) ? NEXT_SERVER : address}${port}`)
}

const listenForTftp = async (
  { dataDir, config, onEvent }: ServerOptions,
  http: string | undefined,
  signs: BootSigns,
  counts: ServerCounts,
  sockets: HandedSockets,
  closers: Closers,
): Promise<Readonly<Record<string, string>>> => {
  const { address, tftpPort: port } = config
  if (port === "off") return {}
  const folder = folderFiles(await bootFolder(config.bootFiles, dataDir))
  const files: BootFiles = http === undefined ? folder : withAutoexec(folder, autoexecFor(http))
  const [handed] = sockets.take(port, 1)
  const take = (e: TftpEvent) => {
    onEvent(describeTftpEvent(e))
    takeSign(signs, tftpBootSign(e))
    counts.event("tftp", e.type, e.type === "done" ? e.sizeBytes : 0)
  }
  const tftp = await listenTftp({ address, port, socket: handed?.socket, files, onEvent: take })
  closers.push(tftp.close)
  return { tftp: `${tftp.address}:${tftp.port}` }
}

const listenForDhcp = async (
  { dataDir, config, onEvent }: ServerOptions,
  opened: OpenedSite,
  live: LivePeers,
  signs: BootSigns,
  counts: ServerCounts,
  listeners: { readonly tftp?: string | undefined; readonly http?: string | undefined },
  sockets: HandedSockets,
  closers: Closers,
): Promise<Readonly<Record<string, string>>> => {
  const { dhcp } = config
  if (dhcp === undefined) return {}
  const handed = [...sockets.take(dhcp.port), ...sockets.take(dhcp.proxyPort)]
  const server = await serveDhcp({ dataDir, config, dhcp, opened, live, signs, counts, listeners, handed, onEvent })
  closers.push(server.close)
  return { dhcp: `${server.address}:${server.port}`, "dhcp-proxy": `${server.address}:${server.proxyPort}` }
}
