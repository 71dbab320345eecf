/** What a command did when it was carried out before under the same id; for operations that cannot do their work a second time. */
import * as Effect from "effect/Effect"
import { fail } from "../../errors.ts"
import type { Parts } from "../parts.ts"
import type { Changed } from "../site/operation.ts"
import type { CallOptions } from "../site.ts"

/** Undefined when it is new. @throws COMMAND_REUSED when the id was another command's, or one about another image */
export const madeBefore = async (
  { log }: Parts,
  type: "ImageCommitted" | "ImageSealed" | "ImageVersionFlattened",
  name: string,
  { commandId, dryRun = false }: CallOptions,
): Promise<Changed | undefined> => {
  if (commandId === undefined) return undefined
  const before = await Effect.runPromise(log.findCommand(commandId))
  if (before === undefined) return undefined
  const [event] = before.events
  const { image } = (event?.data ?? {}) as { readonly image?: { readonly name: string } }
  if (event?.type !== type || image?.name.toLowerCase() !== name.toLowerCase())
    throw fail("COMMAND_REUSED", { id: commandId })
  return { events: before.events, position: log.head(), repeated: true, dryRun }
}
