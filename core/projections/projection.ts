/**
 * A projection: a question about the log, answered by folding it.
 *
 * **Details** `apply` changes the state in place, and is given every event once and in order. It answers false for an event whose type
 * it does not know, which the projector counts and reports; it may throw EVENT_UNKNOWN instead if it must not go on. Events carry what
 * they refer to, so a projection that skipped some can still use the next.
 *
 * **Gotchas** `encode` is deterministic: the same events give the same JSON, whether they were folded in one go or from a checkpoint.
 * What `decode` gets is what `encode` made, because the checkpoint carries a hash; a change of shape takes a new `version`.
 */
import type { Recorded } from "../log/event-log.ts"

export interface Projection<State> {
  /** Also the checkpoint's name: lower-case letters and hyphens. */
  readonly name: string
  /** Of the encoded state. A checkpoint of another version is built anew. */
  readonly version: number
  initial(): State
  apply(state: State, recorded: Recorded): boolean
  encode(state: State): unknown
  decode(json: unknown): State
}

/** The same JSON value with all keys in code-unit order: objects from memory and from the log's canonical JSON come out alike. */
export const sortKeys = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(sortKeys)
  if (typeof value !== "object" || value === null) return value
  const members = value as Record<string, unknown>
  const sorted: Record<string, unknown> = {}
  for (const key of Object.keys(members).sort()) {
    if (members[key] === undefined) continue
    // an assignment to this one would set the prototype
    if (key === "__proto__") Object.defineProperty(sorted, key, { value: sortKeys(members[key]), enumerable: true })
    else sorted[key] = sortKeys(members[key])
  }
  return sorted
}
