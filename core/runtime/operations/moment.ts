/** Finds the position that a moment stands for, and says which it was. */
import * as Effect from "effect/Effect"
import { fail } from "../../errors.ts"
import { positionAt } from "../../projections/as-of.ts"
import { type ReadableLog, readPage } from "../../projections/read.ts"
import type { AsOf, Moment } from "../site/operation.ts"

/** @throws POSITION_NOT_FOUND USAGE STORE_DAMAGED */
export const resolveMoment = async (log: ReadableLog, { at, position }: Moment): Promise<AsOf> => {
  if (at !== undefined && position !== undefined)
    throw fail("USAGE", { why: "a moment is a time or a position, not both", see: "imagelink links --help" })
  const used = at === undefined ? (position ?? log.head()) : await Effect.runPromise(positionAt(log, at))
  const head = log.head()
  if (!Number.isSafeInteger(used) || used < 0 || used > head) throw fail("POSITION_NOT_FOUND", { position: used, head })
  if (used === 0) return { position: 0, at: null }
  const [event] = await Effect.runPromise(readPage(log, used - 1, 1))
  return { position: used, at: event!.at }
}
