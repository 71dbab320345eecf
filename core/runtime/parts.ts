/** What the operations work with: the opened store, and what stands around it. */
import type { LayerMapBudget } from "../block/layers/budget.ts"
import type { EventLog } from "../log/event-log.ts"
import type { Publisher } from "../log/tiles/publisher.ts"
import type { ImageOpener } from "../storage/opener.ts"
import type { VolumeFolder } from "../storage/volume.ts"
import type { BootServer } from "./boot-preview.ts"
import type { SiteSettings } from "./client-settings.ts"
import type { DataFiles } from "./data-files.ts"
import type { DiskService } from "./disks.ts"
import type { Drafts } from "./drafts.ts"
import type { FileLister } from "./file-lister.ts"
import type { HeatService } from "./heat.ts"
import type { ImageStacks } from "./image-stacks.ts"
import type { JobRunner } from "./job-runner.ts"
import type { LayerStore } from "./layer-store.ts"
import type { LiveBoots } from "./live-boot.ts"
import type { RamTier } from "./ram-tier.ts"
import type { RebootRequests } from "./reboot-requests.ts"
import type { Reloaded } from "./reload.ts"
import type { Sessions } from "./sessions.ts"
import type { ServerAbout } from "./status.ts"
import type { TokenStore } from "./tokens.ts"
import type { Views } from "./views.ts"

/** How a running server reaches clients themselves. */
export interface ClientActions {
  readonly sessions: Sessions
  readonly reboots: RebootRequests
  /** Sends a magic packet; answers where to. `dryRun`: where it would. @throws WAKE_FAILED */
  wake(mac: string, dryRun: boolean): Promise<ReadonlyArray<string>>
  /** Waits until the time has passed or the signal has ended. */
  sleep(millis: number, signal: AbortSignal): Promise<void>
  /** A line in the server's log: who did what to whom. */
  note(actor: string, client: string, did: string): void
}

export interface Parts {
  readonly log: EventLog
  readonly views: Views
  readonly jobs: JobRunner
  /** UTC milliseconds. */
  readonly now: () => number
  /** A fresh UUIDv7. */
  readonly newId: () => string
  readonly opener: ImageOpener
  /** Checksum files. */
  readonly sidecars: VolumeFolder
  /** What publishes the log: tiles and signed checkpoints. Loaded when it is first asked for. */
  readonly publisher: () => Promise<Publisher>
  /** The data folder. */
  readonly data: VolumeFolder
  readonly files: DataFiles
  readonly layers: LayerStore
  /** What all layer maps may take together: those that are served from, and those of checks and comparisons. */
  readonly layerMaps: LayerMapBudget
  /** What lists the files of a disk. Loaded when it is first asked for. */
  readonly fileLister: () => Promise<FileLister>
  /** Who may ask over the network. Loaded when it is first asked for. */
  readonly tokens: () => Promise<TokenStore>
  /** Of the running kernel; undefined where the host cannot tell. */
  readonly hostBootId: string | undefined
  /** Present while this process serves disks. */
  readonly serving?: {
    readonly disks: DiskService
    readonly stacks: ImageStacks
    readonly drafts: Drafts
    readonly ram: RamTier
    readonly heat: HeatService
    /** Where this process listens, once it does. */
    readonly bootServer?: () => BootServer | undefined
    readonly liveBoots?: LiveBoots
    /** What it was told for all clients, by option. */
    readonly siteSettings?: () => SiteSettings
    readonly actions?: ClientActions
    /** Who has a disk open. */
    readonly sessions?: Sessions
    /** Present once everything listens. */
    readonly about?: () => ServerAbout | undefined
    /** Reads the settings again. */
    readonly reload?: () => Promise<Reloaded>
  }
}
