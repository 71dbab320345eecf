/**
 * The command handler: decides a command on the catalogue as it stands, appends what it comes to, and shows it to the projections.
 *
 * **Details** One command at a time. A command id that was appended before is answered with what it appended then, before anything is
 * decided, because on today's catalogue the same command may come to something else. When the log moved on meanwhile, the
 * command is decided again on the new catalogue, a bounded number of times; unless its sender named the position he looked at: then it is
 * refused. A dry run decides and appends nothing. From the append on nothing interrupts, so the projections never miss what the log has.
 *
 * **Gotchas** Nothing is recorded for a command that comes to no events, so neither is its id.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Semaphore from "effect/Semaphore"
import type { Catalogue } from "../domain/catalogue.ts"
import type { Command, CommandBody } from "../domain/commands.ts"
import { decide } from "../domain/decide.ts"
import { type DomainEvent, eventShapes } from "../domain/events.ts"
import { fail, type ImagelinkError } from "../errors.ts"
import { limits } from "../limits.ts"
import { isSameCommand } from "../log/command-index.ts"
import type { EventLog, NewEvent, Recorded } from "../log/event-log.ts"
import { catalogueProjection } from "../projections/catalogue.ts"
import type { Projector } from "../projections/projector.ts"

export interface HandlerOptions {
  readonly log: Pick<EventLog, "head" | "append" | "findCommand">
  /** Started, with the catalogue among its projections. */
  readonly projector: Projector
  /** SHA-256 of the body's canonical JSON, in hex. */
  readonly fingerprint: (body: CommandBody) => string
}

export interface Executed {
  /** What was appended, with envelopes; for a dry run, what would be. */
  readonly events: ReadonlyArray<NewEvent | Recorded>
  /** Head of the log afterwards. */
  readonly position: number
  /** The id was used before, for the same command: `events` are those of then. */
  readonly repeated: boolean
  readonly dryRun: boolean
}

export interface Handler {
  /** @throws the decider's refusals, LOG_CONFLICT COMMAND_REUSED EVENT_TOO_LARGE EVENT_UNKNOWN STORE_READ_ONLY STORE_DAMAGED */
  execute(command: Command): Effect.Effect<Executed, ImagelinkError>
}

const encoders = Object.fromEntries(
  Object.entries(eventShapes).map(([type, [, shape]]) => [
    type,
    Schema.encodeUnknownSync(shape as Schema.Codec<unknown>, { onExcessProperty: "error" }),
  ]),
)

/** The event as it goes to the log. Throws where its data is not of its shape: a decider never makes such a one. */
const encode = ({ type, schemaVersion, data }: DomainEvent): NewEvent => ({
  type,
  schemaVersion,
  data: encoders[type]!(data),
})

export const makeHandler = ({ log, projector, fingerprint }: HandlerOptions): Handler => {
  const oneAtATime = Semaphore.makeUnsafe(1)

  /** The catalogue at the head of the log. */
  const current: Effect.Effect<Catalogue, ImagelinkError> = Effect.gen(function* () {
    yield* projector.catchUp()
    const stopped = projector.report().find((p) => p.name === catalogueProjection.name)?.stopped
    if (stopped) return yield* Effect.fail(stopped)
    return projector.state(catalogueProjection)
  })

  const append = (command: Command, events: ReadonlyArray<NewEvent>, expectedPosition: number) =>
    Effect.gen(function* () {
      const { id, at, actor, body } = command
      const request = { command: id, fingerprint: fingerprint(body), at, actor, expectedPosition, events }
      const appended = yield* log.append(request)
      projector.applyNew(appended.events)
      return { ...appended, dryRun: false }
    }).pipe(Effect.uninterruptible)

  const attempt = (command: Command): Effect.Effect<Executed, ImagelinkError> =>
    Effect.gen(function* () {
      const catalogue = yield* current
      const { expectedPosition, dryRun } = command
      const position = catalogue.position
      if (expectedPosition !== undefined && expectedPosition !== position) {
        return yield* Effect.fail(fail("LOG_CONFLICT", { expected: expectedPosition, actual: position }))
      }
      const decision = decide(catalogue, command.body)
      if (Result.isFailure(decision)) return yield* Effect.fail(decision.failure)
      const events = decision.success.map(encode)
      if (dryRun || events.length === 0) return { events, position, repeated: false, dryRun }
      return yield* append(command, events, position)
    })

  const repeat = (command: Command): Effect.Effect<Executed | undefined, ImagelinkError> =>
    Effect.gen(function* () {
      const before = yield* log.findCommand(command.id)
      if (!before) return undefined
      if (!isSameCommand(before.fingerprint, fingerprint(command.body))) {
        return yield* Effect.fail(fail("COMMAND_REUSED", { id: command.id }))
      }
      return { events: before.events, position: log.head(), repeated: true, dryRun: command.dryRun }
    })

  const handle = (command: Command): Effect.Effect<Executed, ImagelinkError> =>
    Effect.gen(function* () {
      const repeated = yield* repeat(command)
      if (repeated) return repeated
      const movedOn = (e: ImagelinkError) => e.code === "LOG_CONFLICT" && command.expectedPosition === undefined
      return yield* attempt(command).pipe(Effect.retry({ times: limits.commandConflictRetriesMax, while: movedOn }))
    })

  return { execute: (command) => oneAtATime.withPermit(handle(command)) }
}
