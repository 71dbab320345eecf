/** What crosses the control socket: one request object, then one response object a line (README.md draws it). */
import type { ErrorJson } from "../../core/errors.ts"
import type { Progress } from "../../core/jobs.ts"
import type { Actor } from "../../core/log/event-log.ts"

export const CALL_PATH = "/v1/call"

export interface CallRequest {
  readonly operation: string
  readonly input: unknown
  readonly dryRun?: boolean
  readonly commandId?: string
  readonly expectedPosition?: number
  readonly actor: Actor
}

export type CallReply =
  | { readonly progress: Progress }
  | { readonly item: unknown }
  | { readonly result: unknown }
  | { readonly error: ErrorJson }
