/** What can be asked about clients. */
import type { EffectiveOption } from "../../domain/group-links.ts"
import type { BootRow } from "../../projections/boot-history.ts"
import type { HistoryLine } from "../../projections/client-history.ts"
import type { ClientSetting } from "../client-settings.ts"
import type { SessionShown } from "../sessions.ts"
import type { ClientStatus } from "../status.ts"
import type { AsOf, Changed, Moment, Nothing, Op } from "./operation.ts"

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

export interface ClientOperations {
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
  /** The iPXE script that the client would be given now. No boot id is made: PREVIEW stands where it would be. */
  "client.script": Op<{ readonly client: string }, { readonly client: string; readonly script: string }>
  "client.show": Op<Moment & { readonly client: string }, ClientShown>
}
