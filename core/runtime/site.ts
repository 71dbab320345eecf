/**
 * Everything an operator can ask of a site, as one typed table, by topic in site/: the command line, the control socket and the HTTP API speak it.
 *
 * **Details** An operation has an input, may report progress and stream items, and ends with a result or an `ImagelinkError`. A changing
 * operation takes `dryRun` (answer the events, append nothing) and `commandId` (a retry appends once). operations/ has what each one does.
 */
import type { Progress } from "../jobs.ts"
import type { Actor } from "../log/event-log.ts"
import type { AuditOperations } from "./site/audit.ts"
import type { BackupOperations } from "./site/backup.ts"
import type { ClientOperations } from "./site/clients.ts"
import type { GroupOperations } from "./site/groups.ts"
import type { ImageDiffOperations } from "./site/image-diff.ts"
import type { ImageTierOperations } from "./site/image-tiers.ts"
import type { ImageOperations } from "./site/images.ts"
import type { LinkOperations } from "./site/links.ts"
import type { ServerOperations } from "./site/server.ts"
import type { TokenOperations } from "./site/tokens.ts"

export interface OperationMap
  extends AuditOperations,
    BackupOperations,
    ClientOperations,
    GroupOperations,
    ImageDiffOperations,
    ImageOperations,
    ImageTierOperations,
    LinkOperations,
    ServerOperations,
    TokenOperations {}

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
