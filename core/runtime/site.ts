/**
 * Everything an operator can ask of a site, as one typed table: the command line, the control socket and later the HTTP API speak it.
 *
 * **Details** An operation has an input, may report progress and stream items, and ends with a result or an `ImagelinkError`. A changing
 * operation takes `dryRun` (answer the events, append nothing) and `commandId` (a retry appends once). operations/ has what each one does.
 */
import type { EffectiveOption } from "../domain/group-links.ts"
import type { ErrorJson } from "../errors.ts"
import type { JobInfo, Progress } from "../jobs.ts"
import type { Actor, NewEvent, Recorded } from "../log/event-log.ts"
import type { BootRow } from "../projections/boot-history.ts"
import type { HistoryLine } from "../projections/client-history.ts"
import type { GroupRow } from "../projections/groups.ts"
import type { ImageRow } from "../projections/image-versions.ts"
import type { LinkDiff } from "../projections/link-diff.ts"
import type { LinkRow } from "../projections/link-table.ts"
import type { StorageLocation } from "../storage/plugin.ts"
import type { ClientSetting } from "./client-settings.ts"
import type { FileChange, FileTotals } from "./file-comparison.ts"
import type { HeatRecorded } from "./heat.ts"
import type { LiveBoot } from "./live-boot.ts"
import type { Reloaded } from "./reload.ts"
import type { SessionShown } from "./sessions.ts"
import type { ClientStatus, Status } from "./status.ts"
import type { TokenRole, TokenRow } from "./tokens.ts"

/** What a changing operation answers. In a dry run `events` are what would be appended, without position and time. */
export interface Changed {
  readonly events: ReadonlyArray<NewEvent | Recorded>
  readonly position: number
  readonly dryRun: boolean
  readonly repeated: boolean
}

export interface ImageAddedAnswer extends Changed {
  /** The first check's outcome; null when it was left for later. */
  readonly check: CheckAnswer | null
  /** What an operator should know and may ignore. */
  readonly notes: ReadonlyArray<string>
}

export interface CheckAnswer {
  readonly image: string
  readonly version: number
  readonly result: "verified" | "mismatch"
  readonly clusters: number
  readonly mismatches: number
  /** CRC_MISMATCH of the first bad cluster. */
  readonly firstMismatch: ErrorJson | null
  /** Where the listed ones are; more may be counted than are listed. */
  readonly damage: ReadonlyArray<DamagedRange>
}

export interface DamagedRange {
  /** Of the guest's disk, in bytes and in blocks of 512, the first and the last. */
  readonly offset: number
  readonly length: number
  readonly lba: readonly [number, number]
  /** What the bytes are read from. */
  readonly file: string
  /** Where the newest backup that has that file keeps it. */
  readonly backup: { readonly path: string; readonly madeAt: number } | null
}

export interface ClientRow {
  readonly name: string
  readonly mac: string
  readonly address: string | null
  readonly links: ReadonlyArray<{
    readonly slot: number
    readonly image: string
    readonly version: number
    readonly follows: boolean
    readonly overlay: string
  }>
}

export interface ImportedRow {
  readonly line: number
  readonly mac: string
  readonly name?: string
  readonly address?: string
  readonly image?: string
}

/** What was done to each client, in the order they were named; in a dry run, what would be. */
export interface ActionAnswer<Row> {
  readonly dryRun: boolean
  readonly clients: ReadonlyArray<{ readonly client: string } & Row>
}

/** A moment in the log: a position, or a time (the last position that is not after it); neither is the head. */
export interface Moment {
  readonly at?: number
  readonly position?: number
}

/** The moment that was used. */
export interface AsOf {
  readonly position: number
  /** When the event at `position` was recorded; null before the first. */
  readonly at: number | null
}

export interface LinksThen extends AsOf {
  readonly rows: ReadonlyArray<LinkRow>
}

export interface LinkDiffAnswer extends LinkDiff {
  readonly from: AsOf
  readonly to: AsOf
}

export interface ImageShown extends AsOf {
  readonly image: ImageRow
  /** The links that use each version, by its number. */
  readonly users: ReadonlyArray<{ readonly version: number; readonly links: ReadonlyArray<LinkRow> }>
}

/** A link as it takes effect, and where it comes from. */
export interface EffectiveLink {
  readonly slot: number
  readonly image: string
  readonly version: number
  readonly follows: boolean
  readonly overlay: string
  /** The overlay's: position of the event that last renewed it. */
  readonly epoch: number
  /** The client's own, or the group that gives it. */
  readonly source: "own" | `group:${string}`
}

export interface GroupMember {
  readonly name: string
  readonly mac: string
  readonly address: string | null
  readonly links: ReadonlyArray<EffectiveLink>
}

export interface GroupShown extends AsOf {
  readonly group: GroupRow
  /** In natural order of their names. */
  readonly members: ReadonlyArray<GroupMember>
}

/** Boot options to set, by key; null takes one away. */
export type OptionChanges = Readonly<Record<string, string | null>>

/** Where a client stands, and every disk of it that is open. */
export interface ClientLive extends Omit<ClientStatus, "sessions"> {
  readonly sessions: ReadonlyArray<SessionShown>
}

export interface ClientShown extends AsOf {
  readonly client: {
    readonly id: string
    readonly name: string
    readonly mac: string
    readonly address: string | null
    readonly links: ReadonlyArray<EffectiveLink>
    /** Names of the groups it is in. */
    readonly groups: ReadonlyArray<string>
    /** Boot options as they take effect. */
    readonly options: ReadonlyArray<EffectiveOption>
    /** The same, and what holds where nobody sets one. */
    readonly settings: ReadonlyArray<ClientSetting>
  }
  /** As it was recorded, the last one until then. */
  readonly lastBoot: BootRow | null
  /** By a running server, for now alone. */
  readonly live: ClientLive | null
  /** Oldest first. */
  readonly lastChanges: ReadonlyArray<HistoryLine>
}

/** What became of one image file in a backup; for a dry run, what would. */
export interface BackupImage {
  readonly image: string
  readonly version: number
  /** Where it is read from. */
  readonly path: string
  readonly sizeBytes: number
  /** `cloned`: the copy shares its blocks with the original. `linked`: it is the same file. `kept`: the backup has it already. */
  readonly done: "copied" | "cloned" | "linked" | "kept"
}

export interface BackupAnswer {
  readonly dir: string
  readonly position: number
  /** Of the events up to there, base64; null for a dry run. */
  readonly root: string | null
  readonly dryRun: boolean
  readonly events: { readonly copied: number; readonly total: number }
  /** For a dry run, image files only. */
  readonly files: {
    readonly copied: number
    readonly kept: number
    readonly copiedBytes: number
    readonly bytes: number
  }
  readonly images: ReadonlyArray<BackupImage>
  readonly secrets: boolean
  /** What is not in it, in words. */
  readonly leftOut: ReadonlyArray<string>
}

export interface ImageDiffAnswer {
  readonly image: string
  readonly from: number
  readonly to: number
  readonly sizeBytes: number
  /** Checksums tell by clusters what really differs; they are asked where a version between the two is retired. */
  readonly toldBy: "layers" | "checksums"
  /** What was written, perhaps with the bytes that were there; in order, the first ones only where there are more. `kind` is what it is in `to`. */
  readonly runs: ReadonlyArray<{ readonly offset: number; readonly length: number; readonly kind: "data" | "zero" }>
  /** Of all runs. */
  readonly totals: { readonly runs: number; readonly dataBytes: number; readonly zeroBytes: number }
  /** The disk in parts of `partBytes`, the last one shorter, and how much of each differs. */
  readonly partBytes: number
  readonly parts: ReadonlyArray<number>
  /** Present where it was asked for. */
  readonly files?: FileDiffAnswer
}

/** The files that differ, as far as a tool on the server reads their file systems. */
export interface FileDiffAnswer {
  /** In order of their offsets; those of either version. A disk without a table has one, of number 0. */
  readonly partitions: ReadonlyArray<PartitionDiff>
  /** By partition and path; the first ones only where there are more. */
  readonly rows: ReadonlyArray<FileChange & { readonly partition: number }>
  /** Of all partitions that were compared. */
  readonly totals: FileTotals
}

export interface PartitionDiff {
  readonly number: number
  readonly offset: number
  readonly sizeBytes: number
  /** In which of the two versions it is. */
  readonly in: "both" | "from" | "to"
  /** Null where it is not. */
  readonly fileSystem: { readonly from: string | null; readonly to: string | null }
  /** `same`: nothing was written to it. `unread`: it differs, and its files are not known. */
  readonly outcome: "same" | "compared" | "unread"
  /** Why it is unread. */
  readonly why: string | null
  readonly changedBytes: number
  readonly totals: FileTotals
}

/** A version of an image, by name; without a number the current one. */
export interface VersionNamed {
  readonly name: string
  readonly version?: number
}

export interface ImagePlacedAnswer extends Changed {
  /** What is in RAM now; null when nothing is, or when no server runs that could hold it. */
  readonly ram: RamHeld | null
}

/** What is hot in an image. Reads are first reads of a cluster, in each recording that is kept. */
export interface ImageHeatAnswer {
  readonly image: string
  readonly sizeBytes: number
  readonly labels: ReadonlyArray<{
    readonly label: string
    /** All, and those that are kept and counted here. */
    readonly recorded: number
    readonly kept: number
    /** When the newest that is kept ended, UTC milliseconds. */
    readonly lastAt: number | null
    readonly reads: number
    /** The fewest bytes that cover this share of the reads, in per cent. */
    readonly covers: ReadonlyArray<{ readonly share: number; readonly bytes: number }>
  }>
  /** Boots that are being recorded now; they are among those kept as far as they came. */
  readonly booting: number
  /** The disk in parts of `partBytes`, the last one shorter, and how much of each is hot. */
  readonly partBytes: number
  readonly parts: ReadonlyArray<number>
}

export interface RamHeld {
  readonly versions: ReadonlyArray<number>
  /** Memory that the image takes. Clusters of zeros, and what versions share, take none of their own. */
  readonly bytes: number
  /** Clusters that could not be read or are not what was recorded: a read goes to the file, and fails as it did before. */
  readonly left: number
}

/** A token as it is shown: without what it is, and its groups by name. */
export interface TokenShown extends Omit<TokenRow, "groups"> {
  readonly groups: ReadonlyArray<string>
}

type Nothing = Readonly<Record<string, never>>
interface Op<Input, Result, Item = never> {
  readonly input: Input
  readonly result: Result
  readonly item: Item
}

export interface OperationMap {
  "image.add": Op<
    {
      readonly name: string
      /** A local file, or an address that a storage plugin takes; or `storage`, for any other. */
      readonly path?: string
      readonly storage?: StorageLocation
      readonly note?: string
      readonly check: boolean
    },
    ImageAddedAnswer
  >
  "image.check": Op<{ readonly name: string; readonly version?: number }, CheckAnswer>
  "image.list": Op<Nothing, ReadonlyArray<ImageRow>>
  "image.relocate": Op<
    {
      readonly name: string
      readonly version?: number
      /** A local file; or `storage`, for any other storage plugin. */
      readonly path?: string
      readonly storage?: StorageLocation
    },
    Changed
  >
  /** While a server runs, it settles when the image is in RAM, or out of it. */
  "image.place": Op<
    {
      readonly name: string
      readonly tier: "ramdisk" | "file"
      /** Only what boots and named windows read: what covers `share` per cent of those reads. */
      readonly hot?: boolean
      readonly share?: number
    },
    ImagePlacedAnswer
  >
  "image.heat": Op<{ readonly name: string }, ImageHeatAnswer>
  /** Settles when the time is over. While it runs, what any client reads of the image is recorded. */
  "image.record": Op<
    { readonly name: string; readonly label: string; readonly seconds: number },
    HeatRecorded & { readonly image: string }
  >
  /** The heat file, base64. */
  "heat.export": Op<{ readonly name: string }, { readonly image: string; readonly bytes: string }>
  /** Takes recordings from such a file, for what the current version has in their places. */
  "heat.import": Op<
    { readonly name: string; readonly bytes: string },
    { readonly image: string; readonly recordings: number; readonly clusters: number }
  >
  "image.remove": Op<{ readonly name: string }, Changed>
  "image.create": Op<{ readonly name: string; readonly sizeBytes: number; readonly note?: string }, Changed>
  "image.seal": Op<{ readonly name: string }, Changed>
  /** `whenOff` waits until the super client has no session, `fence` ends those it has. */
  "image.commit": Op<
    { readonly name: string; readonly note?: string; readonly whenOff?: boolean; readonly fence?: boolean },
    Changed
  >
  /** Reads tables and checksums, and no data unless files are asked for. At most `runsMax` runs are listed. */
  "image.diff": Op<
    {
      readonly from: VersionNamed
      readonly to: VersionNamed
      readonly runsMax?: number
      /** Lists changed files, at most so many: what changed is copied for that. */
      readonly filesMax?: number
    },
    ImageDiffAnswer
  >
  /** The layers of a version, merged into one file; `whole`: together with what they lie on. */
  "image.flatten": Op<{ readonly name: string; readonly version?: number; readonly whole?: boolean }, Changed>
  "image.retire": Op<{ readonly name: string; readonly version: number }, Changed>
  /** Without `to`, the version that the current one was made on. */
  "image.rollback": Op<{ readonly name: string; readonly to?: number; readonly note?: string }, Changed>
  "client.add": Op<{ readonly mac: string; readonly name?: string; readonly address?: string }, Changed>
  "client.import": Op<
    { readonly rows: ReadonlyArray<ImportedRow>; readonly file: string; readonly image?: string },
    Changed
  >
  "client.copy": Op<
    { readonly from: string; readonly to: ReadonlyArray<{ readonly mac: string; readonly name?: string }> },
    Changed
  >
  "client.list": Op<Nothing, ReadonlyArray<ClientRow>>
  "client.link": Op<
    {
      readonly clients: ReadonlyArray<string>
      readonly image: string
      readonly slot: number
      readonly overlay?: "discard" | "keep"
      readonly discardKept?: boolean
    },
    Changed
  >
  "client.unlink": Op<
    { readonly clients: ReadonlyArray<string>; readonly slot: number; readonly discardKept?: boolean },
    Changed
  >
  "client.reset": Op<
    {
      readonly clients: ReadonlyArray<string>
      readonly slot: number
      readonly discardSuper?: boolean
      readonly atNextBoot?: boolean
    },
    Changed
  >
  "client.set": Op<
    {
      readonly client: string
      readonly name?: string
      readonly mac?: string
      readonly address?: string | null
      readonly options?: OptionChanges
    },
    Changed
  >
  "client.remove": Op<{ readonly clients: ReadonlyArray<string>; readonly discardKept?: boolean }, Changed>
  "client.set-super": Op<
    {
      readonly client: string
      readonly image: string
      readonly slot?: number
      readonly resume?: boolean
      readonly discardKept?: boolean
    },
    Changed
  >
  "client.clear-super": Op<{ readonly client: string; readonly image?: string; readonly keep?: boolean }, Changed>
  "client.next-boot": Op<
    {
      readonly clients: ReadonlyArray<string>
      readonly to: { readonly kind: "image"; readonly image: string } | { readonly kind: "local" | "menu" } | null
    },
    Changed
  >
  /** Their sessions end as at the end of the server; clients may come back. Settles when they have ended. */
  "client.disconnect": Op<
    { readonly clients: ReadonlyArray<string> },
    ActionAnswer<{ readonly sessions: number /** Those that have not ended. */; readonly left: number }>
  >
  /** A magic packet to each; whether it is heard nobody says. */
  "client.wake": Op<
    { readonly clients: ReadonlyArray<string> },
    ActionAnswer<{ readonly mac: string /** `10.0.0.255 by eth1` */; readonly sentTo: ReadonlyArray<string> }>
  >
  /** Kept until each has booted. `cancel`: it is not wanted any more. */
  "client.request-reboot": Op<
    { readonly clients: ReadonlyArray<string>; readonly cancel?: boolean },
    ActionAnswer<{ readonly requestedAt: number | null }>
  >
  /** The last boots of each client, or of one; the log has them all. */
  boots: Op<{ readonly client?: string }, ReadonlyArray<BootRow>>
  /** Where computers stand now, by a running server alone: another site answers none. With `follow`, items are those that came to be stuck or met
   * an error, until it is cancelled. */
  "boots.live": Op<{ readonly client?: string; readonly follow?: boolean }, ReadonlyArray<LiveBoot>, LiveBoot>
  /** How the server stands. @throws SERVER_NOT_REACHABLE where none runs */
  status: Op<Nothing, Status>
  /** Reads the settings of the running server again; a broken file changes nothing. */
  "config.reload": Op<Nothing, Reloaded>
  /** The iPXE script that the client would be given now. No boot id is made: PREVIEW stands where it would be. */
  "client.script": Op<{ readonly client: string }, { readonly client: string; readonly script: string }>
  /** A group is named with or without `group:` in front; so is it among `clients`, anywhere, but there it needs it. */
  "group.create": Op<
    { readonly name: string; readonly clients: ReadonlyArray<string>; readonly options?: OptionChanges },
    Changed
  >
  "group.change": Op<
    {
      readonly group: string
      readonly name?: string
      readonly add?: ReadonlyArray<string>
      readonly drop?: ReadonlyArray<string>
      readonly options?: OptionChanges
      readonly discardKept?: boolean
    },
    Changed
  >
  "group.link": Op<
    {
      readonly group: string
      readonly image: string
      readonly slot: number
      readonly overlay?: "discard" | "keep"
      readonly discardKept?: boolean
    },
    Changed
  >
  "group.unlink": Op<{ readonly group: string; readonly slot: number; readonly discardKept?: boolean }, Changed>
  "group.remove": Op<{ readonly group: string; readonly discardKept?: boolean }, Changed>
  "group.list": Op<Nothing, ReadonlyArray<GroupRow>>
  "group.show": Op<Moment & { readonly group: string }, GroupShown>
  links: Op<Nothing, ReadonlyArray<LinkRow>>
  history: Op<
    {
      readonly client?: string
      readonly image?: string
      readonly group?: string
      readonly since?: number
      readonly until?: number
    },
    { readonly position: number },
    HistoryLine
  >
  /** Items are the canonical bytes of the events, as text. With `follow` it ends when it is cancelled or the site closes. */
  log: Op<
    {
      readonly after?: number
      readonly type?: string
      readonly client?: string
      readonly image?: string
      readonly group?: string
      readonly follow?: boolean
    },
    { readonly position: number },
    string
  >
  "links.at": Op<Moment, LinksThen>
  "links.diff": Op<{ readonly from: Moment; readonly to: Moment }, LinkDiffAnswer>
  "image.show": Op<Moment & { readonly name: string }, ImageShown>
  "client.show": Op<Moment & { readonly client: string }, ClientShown>
  /** Folds everything again from zero and replaces all checkpoints. */
  rebuild: Op<Nothing, ReadonlyArray<{ readonly name: string; readonly position: number }>>
  "rebuild.check": Op<
    Nothing,
    ReadonlyArray<{ readonly name: string; readonly position: number; readonly equal: boolean }>
  >
  jobs: Op<Nothing, ReadonlyArray<JobInfo>>
  "job.cancel": Op<{ readonly id: string }, { readonly cancelled: boolean }>
  /** The verifier key line (C2SP signed-note). Hashes, here and below, are base64. */
  "audit.key": Op<Nothing, { readonly key: string }>
  /** Publishes what is there and answers the signed note. */
  "audit.checkpoint": Op<Nothing, { readonly note: string; readonly size: number; readonly root: string }>
  "audit.verify": Op<
    Nothing,
    { readonly key: string; readonly size: number; readonly published: number; readonly root: string }
  >
  /** The proof is the text of a C2SP tlog-proof. */
  "audit.prove": Op<{ readonly position: number }, { readonly proof: string; readonly size: number }>
  "audit.consistency": Op<
    { readonly note: string; readonly file: string },
    { readonly from: number; readonly to: number; readonly root: string; readonly proof: ReadonlyArray<string> }
  >
  /** Publishes what is there and writes it as one archive, as a job. `path` is absolute. */
  "audit.export": Op<
    { readonly path: string; readonly force?: boolean },
    { readonly path: string; readonly sizeBytes: number; readonly size: number; readonly root: string }
  >
  /** Brings clients and their own links back to a moment, by events of today. */
  "links.restore": Op<Moment & { readonly discardKept?: boolean }, Changed & { readonly asOf: AsOf }>
  /** The token itself is in the answer, and nowhere else ever again. `groups`: it may change these groups' clients and nothing else. */
  "token.create": Op<
    {
      readonly name: string
      readonly role: TokenRole
      readonly groups?: ReadonlyArray<string>
      readonly days?: number
    },
    TokenShown & { readonly token: string }
  >
  "token.list": Op<Nothing, ReadonlyArray<TokenShown>>
  "token.revoke": Op<{ readonly name: string }, TokenShown>
  /** Makes a backup, or brings the one that is there up to now, as a job. `dir` is absolute. A dry run answers what it would copy. */
  backup: Op<{ readonly dir: string; readonly images?: boolean; readonly secrets?: boolean }, BackupAnswer>
}

export type OperationName = keyof OperationMap
export type Input<N extends OperationName> = OperationMap[N]["input"]
export type Result<N extends OperationName> = OperationMap[N]["result"]
export type Item<N extends OperationName> = OperationMap[N]["item"]

export interface CallOptions<Item = never> {
  readonly actor: Actor
  readonly dryRun?: boolean
  readonly commandId?: string
  readonly expectedPosition?: number
  readonly signal?: AbortSignal
  readonly onProgress?: (p: Progress) => void
  /** What it answers is awaited before much more is sent: a slow reader holds the sender back. */
  readonly onItem?: (item: Item) => void | Promise<void>
}

/** What implements some of the operations. */
export type Operations<N extends OperationName = OperationName> = {
  readonly [K in N]: (input: Input<K>, options: CallOptions<Item<K>>) => Promise<Result<K>>
}

/** A site one can ask: this process's own store, or a running server behind its socket. */
export interface Site {
  /** `local`: this process opened the store itself. `server`: a server answers. */
  readonly via: "local" | "server"
  call<N extends OperationName>(name: N, input: Input<N>, options: CallOptions<Item<N>>): Promise<Result<N>>
  close(): Promise<void>
}
