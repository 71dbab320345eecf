/**
 * A tiny EventLog in memory, for specs: atomic appends, positions, repeated commands, times that never go back.
 *
 * **Details** Events are kept as JSON text, so what a page gives is never the object that was appended. `push` puts events in as if
 * another command had, and `beforeAppend` runs inside every append before its position is checked.
 */
import assert from "node:assert"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { isKnownEvent } from "../../core/domain/event-versions.ts"
import { whyNotPlain } from "../../core/domain/plain.ts"
import { fail, type ImagelinkError } from "../../core/errors.ts"
import type { Appended, AppendRequest, EventLog, NewEvent, Recorded, Take } from "../../core/log/event-log.ts"

export interface MemoryLog extends EventLog {
  push(events: ReadonlyArray<NewEvent>, envelope?: { command?: string; at?: number }): ReadonlyArray<Recorded>
  /** Forgets everything after a position, as restoring an older backup would. */
  truncate(position: number): void
}

/** JSON with the keys of every object in order, as a store's canonical bytes have them; on its own, so that it can disagree. */
const canonical = (value: unknown): string =>
  JSON.stringify(value, (_, v: unknown) =>
    typeof v === "object" && v !== null && !Array.isArray(v)
      ? Object.fromEntries(Object.entries(v).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : v,
  )

export const makeMemoryLog = (
  options: { storeId?: string; beforeAppend?: (request: AppendRequest) => void } = {},
): MemoryLog => {
  const stored: Array<string> = []
  const commands = new Map<string, { fingerprint: string; first: number; count: number }>()
  let lastAt = 0
  let waiting: Array<() => void> = []

  const read = (position: number): Recorded => JSON.parse(stored[position - 1]!) as Recorded
  const slice = (after: number, count: number): Array<Recorded> =>
    Array.from({ length: Math.max(0, Math.min(count, stored.length - after)) }, (_, i) => read(after + 1 + i))

  const record = (request: Pick<AppendRequest, "command" | "at" | "actor" | "events">): Array<Recorded> => {
    const first = stored.length
    for (const event of request.events) {
      lastAt = Math.max(lastAt, request.at)
      const { command, actor } = request
      const envelope = { position: stored.length + 1, command, at: lastAt, actor, server: "server-1" }
      stored.push(canonical({ ...event, ...envelope }))
    }
    for (const wake of waiting.splice(0)) wake()
    return slice(first, request.events.length)
  }

  const appendNow = (request: AppendRequest): Effect.Effect<Appended, ImagelinkError> =>
    Effect.suspend((): Effect.Effect<Appended, ImagelinkError> => {
      assert.equal(whyNotPlain(request.events), undefined, "a log is given plain JSON")
      options.beforeAppend?.(request)
      const known = commands.get(request.command)
      if (known && known.fingerprint !== request.fingerprint) {
        return Effect.fail(fail("COMMAND_REUSED", { id: request.command }))
      }
      if (known) {
        return Effect.succeed({ events: slice(known.first, known.count), position: stored.length, repeated: true })
      }
      const { expectedPosition: expected, fingerprint, command } = request
      if (expected !== stored.length) return Effect.fail(fail("LOG_CONFLICT", { expected, actual: stored.length }))
      const first = stored.length
      const events = record(request)
      if (events.length > 0) commands.set(command, { fingerprint, first, count: events.length })
      return Effect.succeed({ events, position: stored.length, repeated: false })
    })

  const page = (after: number, max: number) =>
    Effect.suspend(() => {
      const page = slice(after, max)
      const unknown = page.find((recorded) => !isKnownEvent(recorded))
      if (!unknown) return Effect.succeed(page)
      return Effect.fail(fail("EVENT_UNKNOWN", { type: unknown.type, position: unknown.position }))
    })

  const each = (after: number, last: number, take: Take): Effect.Effect<void, ImagelinkError> =>
    Effect.flatMap(page(after, Math.min(100, last - after)), (events) =>
      events.length > 0 && take(events) ? each(after + events.length, last, take) : Effect.void,
    )

  const moved = Effect.callback<void>((resume) => {
    waiting.push(() => resume(Effect.void))
  })
  const follow = (after: number): Stream.Stream<Recorded> =>
    Stream.fromEffect(after < stored.length ? Effect.void : moved).pipe(
      Stream.flatMap(() => {
        const page = slice(after, 100)
        return Stream.concat(
          Stream.fromIterable(page),
          Stream.suspend(() => follow(after + page.length)),
        )
      }),
    )

  return {
    site: { name: "spec", storeId: options.storeId ?? "store-1", publicKey: new Uint8Array(32), createdAt: 0 },
    head: () => stored.length,
    headCommand: () => (stored.length === 0 ? "" : read(stored.length).command),
    refusesWrites: () => undefined,
    // As a disk would, it lets others run first.
    append: (request) => Effect.andThen(Effect.yieldNow, appendNow(request)),
    findCommand: (id) =>
      Effect.sync(() => {
        const known = commands.get(id)
        return known && { fingerprint: known.fingerprint, events: slice(known.first, known.count) }
      }),
    page,
    each,
    pageBytes: (after, max) =>
      Effect.sync(() =>
        slice(after, max).map((r) => ({ position: r.position, bytes: Buffer.from(stored[r.position - 1]!) })),
      ),
    follow: (after) => Stream.suspend(() => follow(after)),
    push: (events, { command = "00000000-0000-7000-8000-00000000ffff", at = lastAt } = {}) =>
      record({ command, at, actor: { kind: "server", name: "other" }, events }),
    truncate: (position) => {
      stored.length = position
      waiting = []
    },
  }
}
