/**
 * Learns what is hot while a server runs: which clusters boots read, and what all clients of an image read in a named window.
 *
 *     overlay ─► tap ─► version            one tap for each opened overlay
 *                 └─► recordings ─► (the boot's time is over, the window closes) ─► heat store
 *
 * **A boot** begins when slot 0 is opened for the first time on a fresh generation, or on a kept one in a new boot, and lasts `heatBootMillis` from its first read, however often the
 * client comes again in between: the firmware's session ends before the operating system's begins. A boot that the server's stop cuts short is kept as
 * far as it came.
 *
 * **Gotchas** What runs is part of an image's heat as it is asked for here; the file has it when it has ended. A server that is killed loses
 * the boots of the last minutes.
 */
import { BOOT, expectedOrder, type Heat, type KeptReads, withReads } from "../block/heat/heat.ts"
import { ExpectedOrder, ReadAhead } from "../block/heat/read-ahead.ts"
import { HeatRecording } from "../block/heat/recording.ts"
import { HeatTap } from "../block/heat/tap.ts"
import type { Version } from "../block/version.ts"
import { fail, type ImagelinkError, isImagelinkError } from "../errors.ts"
import type { JobContext } from "../jobs.ts"
import { limits } from "../limits.ts"
import type { HeatStore } from "./heat-store.ts"

export interface HeatService {
  readonly store: HeatStore
  /** What the overlay of a client's slot stands on. */
  tap(disk: TappedDisk): HeatTap
  /** The overlay was closed. */
  untap(tap: HeatTap): void
  /** Records what all clients of an image read until the time is over. @throws CANCELLED HEAT_NOT_RECORDED */
  record(image: ImageNamed, label: string, millis: number, job: JobContext): Promise<HeatRecorded>
  /** With what runs. @throws HEAT_DAMAGED */
  of(image: ImageNamed): Promise<Heat>
  /** Boots of an image that are being recorded. */
  booting(imageId: string): number
  removed(imageId: string): Promise<void>
  /** Keeps what boots that run have read so far. */
  close(): Promise<void>
}

export interface ImageNamed {
  readonly id: string
  readonly name: string
}

export interface TappedDisk {
  readonly image: ImageNamed
  readonly device: Version
  /** Of the generation. */
  readonly key: string
  /** The generation was opened for the first time, to boot from. */
  readonly isBoot: boolean
}

export interface HeatRecorded {
  readonly label: string
  /** Clients whose disks were open at the end or read in between. */
  readonly clients: number
  readonly clusters: number
  readonly bytes: number
}

export interface HeatOptions {
  readonly store: HeatStore
  /** UTC milliseconds. */
  readonly now: () => number
  /** Milliseconds, from any origin, never going back. */
  readonly monotonic: () => number
  /** Calls once, later; the answer takes it back. */
  readonly later: (run: () => void, millis: number) => () => void
  readonly onProblem: (error: ImagelinkError) => void
}

interface Boot {
  readonly image: ImageNamed
  readonly sizeBytes: number
  readonly recording: HeatRecording
  cancel: () => void
}

interface Window {
  readonly recording: HeatRecording
  readonly clients: Set<string>
  sizeBytes: number
}

interface Tapped extends TappedDisk {
  readonly tap: HeatTap
}

/** Orders that are expected, for versions that booted last. */
const ORDERS_MAX = 4

export const makeHeat = ({ store, now, monotonic, later, onProblem }: HeatOptions): HeatService => {
  const taps = new Map<HeatTap, Tapped>()
  const boots = new Map<string, Boot>()
  const windows = new Map<string, Set<Window>>()
  const orders = new Map<string, Promise<ExpectedOrder>>()
  const ending = new Set<Promise<unknown>>()
  let closed = false

  const running = () => boots.size + [...windows.values()].reduce((sum, all) => sum + all.size, 0)
  const booting = (imageId: string) => [...boots.values()].filter((b) => b.image.id === imageId).length

  const keptOf = (image: ImageNamed, label: string, recording: HeatRecording): KeptReads => {
    const { contents, contentOf, clusters } = recording.reads()
    const numbers = contents.map((id) => versionOf(image.id, id))
    return { label, at: now(), clusters, versions: Uint32Array.from(contentOf, (i) => numbers[i]!) }
  }

  const keep = async (image: ImageNamed, label: string, recording: HeatRecording, sizeBytes: number) => {
    const reads = keptOf(image, label, recording)
    await store.change(image.id, image.name, (heat) => withReads(heat, reads, sizeBytes))
    forgetOrders(image.id)
    return reads
  }

  const forgetOrders = (imageId: string): void => {
    for (const key of orders.keys()) if (key.startsWith(`${imageId}@`)) orders.delete(key)
  }

  /** Once: the boot's time is over, or the server stops. */
  const endBoot = (key: string): Promise<void> => {
    const boot = boots.get(key)
    if (boot === undefined) return Promise.resolve()
    boots.delete(key)
    boot.cancel()
    for (const { tap, key: other } of taps.values()) {
      if (other !== key) continue
      tap.leave(boot.recording)
      tap.follow(undefined)
    }
    if (boot.recording.count === 0) return Promise.resolve()
    const kept = keep(boot.image, BOOT, boot.recording, boot.sizeBytes)
      .catch((e) => onProblem(problemOf(e)))
      .then(() => void ending.delete(kept))
    ending.add(kept)
    return kept
  }

  const beginBoot = ({ image, device, key }: TappedDisk): void => {
    // A disk that is kept is the same one boot after boot.
    void endBoot(key)
    if (closed || running() >= limits.heatRecordingsMax || booting(image.id) >= limits.heatBootsAtOnceMax) return
    const endLater = () => later(() => void endBoot(key), limits.heatBootMillis)
    const onFirst = () => {
      boot.cancel()
      boot.cancel = endLater()
    }
    const recording = new HeatRecording(onFirst)
    const boot: Boot = { image, sizeBytes: device.sizeBytes, recording, cancel: endLater() }
    boots.set(key, boot)
  }

  const orderOf = ({ image, device }: TappedDisk): Promise<ExpectedOrder> => {
    const known = orders.get(device.id)
    if (known !== undefined) return known
    const order = store.load(image.id, image.name).then((heat) => {
      // What was closed meanwhile is asked nothing more.
      if (![...taps.values()].some((t) => t.device === device)) throw fail("CLOSED", { what: device.id })
      return new ExpectedOrder(expectedOrder(heat, countsIn(image.id, device)))
    })
    orders.set(device.id, order)
    order.catch(() => orders.delete(device.id))
    for (const key of orders.keys()) if (orders.size > ORDERS_MAX) orders.delete(key)
    return order
  }

  /** In the background: no boot waits for it. What cannot be read is told when somebody asks for it. */
  const follow = async (tapped: Tapped): Promise<void> => {
    const order = await orderOf(tapped)
    if (order.clusters.length === 0 || !boots.has(tapped.key) || !taps.has(tapped.tap)) return
    tapped.tap.follow(new ReadAhead({ order, device: tapped.device, monotonic }))
  }

  const join = (window: Window, { tap, key, device }: Tapped): void => {
    tap.record(window.recording)
    window.clients.add(key)
    window.sizeBytes = device.sizeBytes
  }

  /** Settles when the time is over, or the job is cancelled. */
  const passed = (millis: number, signal: AbortSignal, progress: JobContext["progress"]): Promise<void> =>
    new Promise((resolve) => {
      const end = monotonic() + millis
      const total = Math.ceil(millis / 1000)
      let cancel = () => {}
      const step = () => {
        const left = Math.max(0, end - monotonic())
        progress({ done: total - Math.ceil(left / 1000), total, unit: "items", note: "seconds" })
        if (left === 0 || signal.aborted) resolve()
        else cancel = later(step, Math.min(left, 1000))
      }
      signal.addEventListener("abort", () => {
        cancel()
        resolve()
      })
      step()
    })

  const windowsOf = (imageId: string): Set<Window> => {
    const all = windows.get(imageId) ?? new Set<Window>()
    windows.set(imageId, all)
    return all
  }

  return {
    booting,
    store: {
      ...store,
      change: (imageId, imageName, change) =>
        store.change(imageId, imageName, change).finally(() => forgetOrders(imageId)),
    },

    tap(disk) {
      const tap = new HeatTap(disk.device)
      const tapped = { ...disk, tap }
      taps.set(tap, tapped)
      if (disk.isBoot) beginBoot(disk)
      const boot = boots.get(disk.key)
      if (boot !== undefined) {
        tap.record(boot.recording)
        follow(tapped).catch(() => {})
      }
      for (const window of windows.get(disk.image.id) ?? []) join(window, tapped)
      return tap
    },

    untap(tap) {
      tap.follow(undefined)
      taps.delete(tap)
    },

    async record(image, label, millis, { signal, progress }) {
      const refused = (why: string) => fail("HEAT_NOT_RECORDED", { image: image.name, why })
      if (running() >= limits.heatRecordingsMax) throw refused(`${limits.heatRecordingsMax} recordings run already`)
      const window: Window = { recording: new HeatRecording(), clients: new Set(), sizeBytes: 0 }
      windowsOf(image.id).add(window)
      for (const tapped of taps.values()) if (tapped.image.id === image.id) join(window, tapped)
      try {
        await passed(millis, signal, progress)
      } finally {
        windows.get(image.id)?.delete(window)
        if (windows.get(image.id)?.size === 0) windows.delete(image.id)
        for (const { tap } of taps.values()) tap.leave(window.recording)
      }
      if (signal.aborted) throw fail("CANCELLED", { what: `recording ${image.name}` })
      const { recording, clients, sizeBytes } = window
      if (clients.size === 0) throw refused("no client had a disk of it open")
      if (recording.count === 0) throw refused("no client read anything of it that its own overlay does not hold")
      const reads = await keep(image, label, recording, sizeBytes)
      const clusters = reads.clusters.length
      return { label, clients: clients.size, clusters, bytes: clusters * limits.clusterBytes }
    },

    async of(image) {
      let heat = await store.load(image.id, image.name)
      for (const { image: of, recording, sizeBytes } of boots.values())
        if (of.id === image.id && recording.count > 0) heat = withReads(heat, keptOf(image, BOOT, recording), sizeBytes)
      return heat
    },

    async removed(imageId) {
      for (const [key, { image, cancel }] of boots) {
        if (image.id !== imageId) continue
        cancel()
        boots.delete(key)
      }
      forgetOrders(imageId)
      await store.remove(imageId)
    },

    async close() {
      closed = true
      for (const key of [...boots.keys()]) void endBoot(key)
      await Promise.all(ending)
    },
  }
}

/** Whether a cluster that a version brought is still what this device has there. */
export const countsIn =
  (imageId: string, device: Pick<Version, "sizeBytes" | "contentIdOf">) =>
  (version: number, cluster: number): boolean =>
    cluster * limits.clusterBytes < device.sizeBytes && device.contentIdOf(cluster) === `${imageId}@${version}`

const versionOf = (imageId: string, contentId: string): number => Number(contentId.slice(imageId.length + 1))

const problemOf = (e: unknown): ImagelinkError =>
  isImagelinkError(e) ? e : fail("INTERNAL_ERROR", { what: "keeping what a boot read", why: String(e) })
