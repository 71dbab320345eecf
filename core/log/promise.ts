/**
 * The one bridge from promises to effects in the log: an error of the closed list fails, anything else is a defect.
 */
import * as Effect from "effect/Effect"
import { type ImagelinkError, isImagelinkError } from "../errors.ts"

/** `signal` tells a long run that nobody waits for it any more. */
export const fromPromise = <A>(run: (signal: AbortSignal) => Promise<A>): Effect.Effect<A, ImagelinkError> =>
  Effect.callback<A, ImagelinkError>((resume, signal) => {
    run(signal).then(
      (value) => resume(Effect.succeed(value)),
      (e: unknown) => resume(isImagelinkError(e) ? Effect.fail(e) : Effect.die(e)),
    )
  })
