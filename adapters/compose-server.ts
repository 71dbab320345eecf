/**
 * The composition root's other half: a running server is the opened site, its disks, and one listener for each protocol.
 *
 *     compose-run.ts ─► compose-disks.ts ─► compose-boots.ts ─► compose-listeners.ts (compose-dhcp.ts) ─► compose-api.ts
 *
 * It stands apart from compose.ts so that a command which only asks something loads no protocol. What starts last stops first.
 */
import { followLog } from "../core/log/tiles/follower.ts"
import { catalogueProjection } from "../core/projections/catalogue.ts"
import type { BootServer } from "../core/runtime/boot-preview.ts"
import type { SiteSettings } from "../core/runtime/client-settings.ts"
import type { ServeConfig } from "../core/runtime/config.ts"
import { makeJobJournal } from "../core/runtime/job-journal.ts"
import { makeLivePeers } from "../core/runtime/live-peers.ts"
import { makeLocalSite } from "../core/runtime/local-site.ts"
import { QUOTA_OPTION } from "../core/runtime/overlay-quota.ts"
import type { Reloaded } from "../core/runtime/reload.ts"
import { makeResumingSite, type ResumingSite } from "../core/runtime/resuming-site.ts"
import { makeSleep } from "../core/runtime/scrub/sleep.ts"
import type { Site } from "../core/runtime/site.ts"
import { sizeText } from "../core/runtime/sizes.ts"
import type { ServerAbout } from "../core/runtime/status.ts"
import packageJson from "../package.json" with { type: "json" }
import type { Wires } from "./cli/demo/wires.ts"
import { composeWith, openParts, tokens } from "./compose.ts"
import { clientActions } from "./compose-actions.ts"
import { serveApi } from "./compose-api.ts"
import { bootAnswers, bootServerAt } from "./compose-boots.ts"
import { type ServedDisks, serveDisks } from "./compose-disks.ts"
import * as listen from "./compose-listeners.ts"
import { makeWatched } from "./compose-metrics.ts"
import { type Listeners, later, portOf, Run, type ServerOptions } from "./compose-run.ts"

export { waitForInterface } from "./compose-dhcp.ts"
export { judgeSettings } from "./compose-judge.ts"
export type { ServerEvent, ServerOptions } from "./compose-run.ts"

export interface RunningServer {
  readonly site: Site
  /** Protocol to `address:port`; the control socket's is its path. */
  readonly listeners: Listeners
  /** The network side of simulated PCs that boot from this server, for the demo; they ask through a relay at this address. */
  pcs(relay: string): Promise<Wires>
  /** What it goes by now. */
  readonly config: () => ServeConfig
  /** Reads the settings again and turns to those that can change. @throws CONFIG_INVALID and the like, and everything is as it was */
  reload(): Promise<Reloaded>
  close(): Promise<void>
}

/** Opens the store and serves. @throws what opening throws, PORT_IN_USE LISTEN_FAILED CONFIG_INVALID PLUGIN_INVALID DATA_IN_USE */
export const startServer = async (options: ServerOptions): Promise<RunningServer> => {
  const { dataDir, config } = options
  const container = composeWith(dataDir, async () => config.plugins)
  await container.resolve(tokens.registry)()
  const opened = await openParts({ dataDir, create: true, whole: true, container })
  const run = new Run(options, opened)
  const about: About = { startedAt: opened.parts.now(), serves: false, listeners: {}, bootServer: undefined }
  run.closing(() => opened.release({ unused: !about.serves }))
  try {
    await followEvents(run)
    // It is closed after all that appends to its log.
    let site: ResumingSite | undefined
    let resumed: Promise<void> | undefined
    run.closing(
      async () => resumed,
      async () => site?.close(),
    )
    const disks = await serveDisks(run)
    const ending = new AbortController()
    site = siteOf(run, disks, about, ending.signal)
    about.listeners = await listenForPcs(run, disks, about)
    run.sockets.done()
    about.listeners = { ...about.listeners, ...(await listenForPeople(run, disks, about, site)) }
    about.serves = true
    disks.background()
    run.closing(async () => ending.abort())
    resumed = site.resume((level, text) => run.onEvent({ level, text })).catch((e) => run.problem(String(e)))
    const { listeners } = about
    const pcs = async (relay: string) => (await import("./compose-pcs.ts")).simulatedPcs(listeners, relay)
    return { site, listeners, pcs, config: () => run.config, reload: () => run.reload(), close: () => run.close() }
  } catch (e) {
    run.sockets.close()
    await run.close()
    throw e
  }
}

/** What a server says of itself, as far as it has come. */
interface About {
  readonly startedAt: number
  serves: boolean
  listeners: Listeners
  bootServer: BootServer | undefined
}

/** A log that is behind its own checkpoint, or another one, is not served. What goes wrong later is reported, and the log goes on. */
const followEvents = async (run: Run): Promise<void> => {
  const publisher = await run.opened.parts.publisher()
  await publisher.check()
  run.closing(followLog(publisher, run.failed).close)
}

const siteOf = (run: Run, disks: ServedDisks, about: About, ending: AbortSignal): ResumingSite => {
  const { serving, tracker, sessions } = disks
  const own = {
    bootServer: () => about.bootServer,
    sessions,
    reload: () => run.reload(),
    actions: clientActions(run, disks),
    siteSettings: () => siteSettings(run.config),
    liveBoots: { list: tracker.list, sleep: makeSleep(later) },
    about: (): ServerAbout | undefined =>
      about.serves
        ? {
            ...{ version: packageJson.version, since: about.startedAt, memoryBytes: process.memoryUsage.rss() },
            listeners: Object.entries(about.listeners).map(([protocol, at]) => ({ protocol, at })),
          }
        : undefined,
  }
  const { parts } = run.opened
  const site = makeLocalSite({ ...parts, serving: { ...serving, ...own } }, async () => {})
  return makeResumingSite(site, makeJobJournal(parts.data), parts, ending)
}

/** Whether the client with a MAC is asked to boot anew. */
const rebootWanted = async ({ opened }: Run, { reboots }: ServedDisks): Promise<(mac: string) => boolean> => {
  const projector = await opened.parts.views.projector(catalogueProjection)
  return (mac) => {
    const id = projector.state(catalogueProjection).clientsByMac.get(mac)?.id
    return id !== undefined && reboots.at(id) !== undefined
  }
}

/** What holds for every client that nothing else is said for. */
const siteSettings = ({ overlayQuotaBytes }: ServeConfig): SiteSettings => ({
  [QUOTA_OPTION]: overlayQuotaBytes === undefined ? undefined : sizeText(overlayQuotaBytes),
})

/** Disks first, then what leads PCs to them. */
const listenForPcs = async (run: Run, served: ServedDisks, about: About): Promise<Listeners> => {
  const { tracker, serving, sessions } = served
  const { scripts, bootPassword } = await bootAnswers(run, served)
  const secretOf = listen.secretsOf(run)
  const live = makeLivePeers()
  const disks = sessions.watch(run.counts.watch(live.watch(serving.disks)))
  const nbd = await listen.listenForNbd(run, disks)
  const iscsi = await listen.listenForIscsi(run, disks, { secretOf, bootPassword })
  const http = await listen.listenForHttp(
    run,
    scripts(portOf(iscsi.iscsi), secretOf),
    tracker,
    await rebootWanted(run, served),
  )
  const tftp = await listen.listenForTftp(run, http.http, tracker)
  about.bootServer = bootServerAt(run, { ...iscsi, ...http })
  const dhcp = await listen.listenForDhcp(run, live, tracker, { ...tftp, ...http })
  return { ...nbd, ...iscsi, ...http, ...tftp, ...dhcp }
}

const listenForPeople = async (run: Run, disks: ServedDisks, about: About, site: Site): Promise<Listeners> => {
  const { opened, counts } = run
  const watched = makeWatched({
    ...{ version: packageJson.version, startedAt: about.startedAt, counts },
    ...{ parts: opened.parts, serving: disks.serving, sessions: disks.sessions, live: disks.tracker.list },
    listens: () => about.serves,
    deaf: () => run.deaf(),
  })
  run.closing(async () => watched.close())
  const api = await serveApi({ run, site, watched })
  run.closing(api.close)
  return api.listeners
}
