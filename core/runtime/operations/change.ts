/** Turns what an operation was asked into a command and has it carried out. */
import { createHash } from "node:crypto"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { type CommandBody, decodeCommand } from "../../domain/commands.ts"
import { canonicalBytes } from "../../log/canonical.ts"
import { catalogueProjection } from "../../projections/catalogue.ts"
import { type Handler, makeHandler } from "../handler.ts"
import type { Parts } from "../parts.ts"
import type { Changed } from "../site/operation.ts"
import type { CallOptions } from "../site.ts"

export type Change = (body: CommandBody, options: Omit<CallOptions, "onItem">) => Promise<Changed>

const fingerprint = (body: CommandBody): string => createHash("sha256").update(canonicalBytes(body)).digest("hex")

export const makeChange = (parts: Parts): Change => {
  let handler: Promise<Handler> | undefined
  const make = async () =>
    makeHandler({ log: parts.log, projector: await parts.views.projector(catalogueProjection), fingerprint })
  return async (body, { actor, dryRun = false, commandId, expectedPosition }) => {
    const decoded = decodeCommand({
      id: commandId ?? parts.newId(),
      at: parts.now(),
      actor,
      dryRun,
      ...(expectedPosition === undefined ? {} : { expectedPosition }),
      body,
    })
    if (Result.isFailure(decoded)) throw decoded.failure
    handler ??= make()
    return Effect.runPromise((await handler).execute(decoded.success))
  }
}
