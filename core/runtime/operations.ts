/**
 * Everything an operator can ask of a site, as one typed table: the command line, the control socket and later the HTTP API speak it.
 *
 * **Details** An operation has an input, streams zero or more items and progress reports, and ends with a result or an
 * `ImagelinkError`. `OperationMap` names the types; operations-table.ts has the implementations. A changing operation takes `dryRun` (answer the events, append nothing) and
 * `commandId` (a retry appends once).
 */
import type { EventType } from "../domain/events.ts"
import type { JobInfo, Progress } from "../jobs.ts"
import type { Actor, NewEvent, Recorded } from "../log/event-log.ts"

/** What a changing operation answers. In a dry run `events` are what would be appended, without position and time. */
export interface Changed {
  readonly events: ReadonlyArray<NewEvent<EventType> | Recorded<EventType>>
  readonly position: number
  readonly dryRun: boolean
  readonly repeated: boolean
}

export interface LinkRow {
  readonly client: string
  readonly mac: string
  readonly address: string | null
  readonly slot: number
  readonly image: string
  readonly version: number
  readonly follows: boolean
  readonly overlay: string
  readonly superClient: boolean
}

export interface ImageRow {
  readonly name: string
  readonly id: string
  readonly current: number
  readonly sizeBytes: string
  readonly format: string
  readonly checked: string
  readonly path: string
  readonly clients: number
}

export interface ClientRow {
  readonly name: string
  readonly mac: string
  readonly address: string | null
  readonly links: ReadonlyArray<{ slot: number; image: string; version: number; follows: boolean; overlay: string }>
}

export interface HistoryRow {
  readonly position: number
  readonly at: string
  readonly actor: string
  readonly command: string
  readonly type: string
  readonly client: string | null
  readonly slot: number | null
  readonly image: string | null
  readonly from: string | null
  readonly to: string | null
}

export interface ImportRow {
  readonly line: number
  readonly mac: string
  readonly name?: string
  readonly address?: string
  readonly image?: string
}

export interface CheckResult {
  readonly image: string
  readonly version: number
  readonly result: "verified" | "mismatch"
  readonly clusters: number
  readonly mismatches: number
}

interface Op<Input, Result, Item = never> {
  readonly input: Input
  readonly result: Result
  readonly item: Item
}

export interface OperationMap {
  "image.add": Op<{ name: string; path: string; note?: string; check: boolean }, Changed & { check: CheckResult | null; notes: ReadonlyArray<string> }>
  "image.check": Op<{ name: string; version?: number }, CheckResult>
  "image.list": Op<Record<string, never>, ReadonlyArray<ImageRow>>
  "client.add": Op<{ mac: string; name?: string; address?: string }, Changed>
  "client.import": Op<{ rows: ReadonlyArray<ImportRow>; file: string; image?: string }, Changed>
  "client.copy": Op<{ from: string; to: ReadonlyArray<{ mac: string; name?: string }> }, Changed>
  "client.list": Op<Record<string, never>, ReadonlyArray<ClientRow>>
  "client.link": Op<{ clients: ReadonlyArray<string>; image: string; slot: number; overlay?: "discard" | "keep"; discardKept?: boolean }, Changed>
  "client.unlink": Op<{ clients: ReadonlyArray<string>; slot: number }, Changed>
  "client.reset": Op<{ clients: ReadonlyArray<string>; slot: number }, Changed>
  links: Op<Record<string, never>, ReadonlyArray<LinkRow>>
  history: Op<{ client?: string; image?: string; since?: number }, { readonly events: number }, HistoryRow>
  log: Op<{ after?: number }, { readonly events: number }, string>
  jobs: Op<Record<string, never>, ReadonlyArray<JobInfo>>
  "job.cancel": Op<{ id: string }, { readonly cancelled: boolean }>
  "rebuild.check": Op<Record<string, never>, { readonly events: number; readonly projections: ReadonlyArray<{ name: string; equal: boolean }> }>
}

export type OperationName = keyof OperationMap
export type Input<N extends OperationName> = OperationMap[N]["input"]
export type Result<N extends OperationName> = OperationMap[N]["result"]
export type Item<N extends OperationName> = OperationMap[N]["item"]

export interface CallOptions<N extends OperationName = OperationName> {
  readonly dryRun?: boolean
  readonly commandId?: string
  readonly expectedPosition?: number
  readonly actor: Actor
  readonly signal?: AbortSignal
  readonly onProgress?: (p: Progress) => void
  readonly onItem?: (item: Item<N>) => void
}

/** A site one can ask: this process's own store, or a running server behind its socket. */
export interface Site {
  /** `local`: this process opened the store itself. `server`: a server answers. */
  readonly via: "local" | "server"
  call<N extends OperationName>(name: N, input: Input<N>, options: CallOptions<N>): Promise<Result<N>>
  close(): Promise<void>
}
