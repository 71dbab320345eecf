/** The disks of a running server: the cache, the overlays and the images behind them, and what goes on in the background. */
import { isImagelinkError } from "../core/errors.ts"
import { limits } from "../core/limits.ts"
import { catalogueProjection } from "../core/projections/catalogue.ts"
import { makeBootRecorder } from "../core/runtime/boot-recorder.ts"
import type { BootWatch } from "../core/runtime/boot-signs.ts"
import { type BootTracker, makeBootTracker } from "../core/runtime/boot-tracker.ts"
import type { StaleBoot } from "../core/runtime/boots.ts"
import { makeDamageRecorder } from "../core/runtime/damage-recorder.ts"
import { checkUnverified } from "../core/runtime/first-checks.ts"
import { makeMerging } from "../core/runtime/merging.ts"
import { type Change, makeChange } from "../core/runtime/operations/change.ts"
import { OVERLAYS } from "../core/runtime/overlay-folders.ts"
import { OverlayReserve, type ReserveCrossed } from "../core/runtime/overlay-reserve.ts"
import { openRebootRequests, type RebootRequests } from "../core/runtime/reboot-requests.ts"
import { makeScrub } from "../core/runtime/scrub/scrub.ts"
import { makeSleep } from "../core/runtime/scrub/sleep.ts"
import { makeServing, type Serving } from "../core/runtime/serving.ts"
import { makeSessions, type Sessions } from "../core/runtime/sessions.ts"
import { sizeText } from "../core/runtime/sizes.ts"
import type { Twin } from "../core/runtime/twins.ts"
import type { OnDamage } from "../core/runtime/version-sources.ts"
import { bootLine } from "./compose-log.ts"
import { later, type Run, serverActor } from "./compose-run.ts"

export interface ServedDisks {
  readonly serving: Serving
  readonly tracker: BootTracker
  readonly sessions: Sessions
  readonly reboots: RebootRequests
  readonly change: Change
  /** What begins once everything listens. */
  background(): void
}

/** Opens what serves, and puts away what no link needs any more. */
export const serveDisks = async (run: Run): Promise<ServedDisks> => {
  const { parts } = run.opened
  const change = makeChange(parts)
  await parts.views.state(catalogueProjection)
  const tracker = await trackBoots(run, change)
  const sessions = await watchSessions(run, tracker)
  const reboots = await openRebootRequests(parts.data)
  const serving = await openServing(run, change, fulfilling(reboots, tracker))
  run.closing(serving.disks.close)
  const background = backgroundOf(run, serving)
  await serving.disks.sweep()
  const catalogue = await parts.views.state(catalogueProjection)
  await serving.heat.store.sweep(new Set(catalogue.images.keys()))
  await parts.layers.sweep(catalogue)
  return { serving, tracker, sessions, reboots, change, background }
}

/** Where each PC stands, and a record of its boot in the end. */
const trackBoots = async (run: Run, change: Change): Promise<BootTracker> => {
  const { parts } = run.opened
  const projector = await parts.views.projector(catalogueProjection)
  const catalogue = () => projector.state(catalogueProjection)
  const boots = makeBootRecorder({
    append: (group) => change({ type: "RecordBoots", boots: group }, { actor: serverActor }),
    later,
    onProblem: run.problem,
  })
  const origin = parts.now() - performance.now()
  const tracker = makeBootTracker({
    now: () => Math.floor(origin + performance.now()),
    later,
    record: (boot) => {
      run.counts.boot(boot)
      run.onEvent(bootLine(boot))
      boots.record(boot)
    },
    nameOf: (mac) => catalogue().clientsByMac.get(mac)?.name,
    macAt: (address) => catalogue().clientsByAddress.get(address)?.mac,
  })
  run.closing(boots.close, async () => tracker.close())
  return tracker
}

/** Who has a disk open. What fails there is shown with where the PC stands. */
const watchSessions = async (run: Run, tracker: BootTracker): Promise<Sessions> => {
  const { parts } = run.opened
  const projector = await parts.views.projector(catalogueProjection)
  const onError = (clientId: string, error: unknown) => {
    const mac = projector.state(catalogueProjection).clients.get(clientId)?.mac
    const text = isImagelinkError(error) ? `${error.message} [${error.code}]` : String(error)
    if (mac !== undefined) tracker.take({ type: "failed", mac, text })
  }
  const sessions = makeSessions({ now: parts.now, monotonic: () => performance.now(), onError })
  const samples = setInterval(sessions.sample, limits.trafficSampleMillis)
  samples.unref()
  run.closing(async () => clearInterval(samples))
  return sessions
}

/** A boot that begins is what a client was asked for. */
const fulfilling = (reboots: RebootRequests, watch: BootWatch): BootWatch => ({
  ...watch,
  began(boot) {
    void reboots.forget([boot.client.id]).catch(() => {})
    watch.began(boot)
  },
})

const openServing = async (run: Run, change: Change, watch: BootWatch): Promise<Serving> => {
  const { config, opened } = run
  const { parts, data, host, random } = opened
  const damage = makeDamageRecorder({
    append: (found) => change({ type: "RecordDamage", ...found }, { actor: serverActor }),
    later,
    onProblem: run.problem,
  })
  const onDamage: OnDamage = (e, ref, cluster) => {
    run.failed(e)
    damage.record(ref.imageId, ref.version.number, cluster)
  }
  const reserve = new OverlayReserve({
    reserveBytes: () => run.config.overlayReserveBytes,
    space: async () => parts.files.space?.(),
    later,
    onCrossed: (crossed) => run.problem(describeReserve(run.dataDir, crossed)),
  })
  run.closing(async () => reserve.close(), damage.close)
  run.reloading(() => ({ apply: () => void reserve.look() }))
  return makeServing(parts, {
    ...{ overlays: data.folder(OVERLAYS), host, random, later, reserve, onDamage, watch },
    ...{ cacheBytes: config.cacheBytes, ramBytes: config.ramBytes, quotaBytes: () => run.config.overlayQuotaBytes },
    bootSecret: await opened.bootSecret(),
    onNotInRam: (e) => run.failed(e, "it is served from its file; "),
    onHeatLost: (e) => run.failed(e),
    onQuota: run.problem,
    onStaleBoot: (stale) => run.problem(describeStale(stale)),
    onTwin: (twin) => run.problem(describeTwin(twin)),
  })
}

/** First checks, then the scrub; merging of long chains; images that belong in RAM. */
const backgroundOf = (run: Run, serving: Serving): (() => void) => {
  const { config } = run
  const parts = { ...run.opened.parts, serving }
  const report = (level: "error" | "info", text: string) => run.onEvent({ level, text })
  const scrub = makeScrub({
    parts,
    actor: serverActor,
    bytesPerSecond: config.scrubBytesPerSecond,
    everyDays: config.scrubEveryDays,
    sleep: makeSleep(later),
    report,
  })
  const merging = makeMerging(parts, { actor: serverActor, layersMax: config.mergeLayersAfter, report })
  run.closing(scrub.close, merging.close)
  return () => {
    serving.ram.start()
    void checkUnverified(parts, serverActor, report).then(scrub.start)
    merging.start()
  }
}

const describeStale = ({ client, boot, made, began }: StaleBoot): string =>
  `${client} showed the boot id ${boot} of ${new Date(made).toISOString()}, but a newer boot of it began at ` +
  `${new Date(began).toISOString()}: a PC that was left over from before, or two PCs with one MAC`

const describeTwin = ({ client, boot, address, second }: Twin): string =>
  `${client} runs at ${address} in its boot ${boot}, and a computer with its MAC at ${second} asked for its disk and was refused: two PCs with one MAC`

const describeReserve = (dataDir: string, { reserved, freeBytes, reserveBytes }: ReserveCrossed): string => {
  const [free, kept] = [freeBytes, reserveBytes].map(sizeText)
  if (!reserved) return `${free} are free on the disk of ${dataDir} again: every client may write`
  return (
    `${free} are free on the disk of ${dataDir}, and ${kept} are kept for super clients: other clients are refused new space ` +
    `[NO_SPACE]; fix: free space there, or set --overlay-reserve`
  )
}
