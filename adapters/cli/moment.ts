/** `--at` and `--position`: the moment that a reading verb is asked about, and the words that say which one it was. */
import type { AsOf, Moment } from "../../core/runtime/site/operation.ts"
import type { CommonOptions } from "./options.ts"
import { time } from "./output.ts"
import { parsePosition, parseSince } from "./time.ts"

export interface MomentOptions extends CommonOptions {
  readonly at?: string
  readonly position?: string
}

export const momentOf = ({ at, position }: MomentOptions): Moment => ({
  ...(at === undefined ? {} : { at: parseSince(at, Date.now()) }),
  ...(position === undefined ? {} : { position: parsePosition(position) }),
})

export const asked = (options: MomentOptions): boolean => options.at !== undefined || options.position !== undefined

export const asOfText = ({ position, at }: AsOf): string =>
  `position ${position}, ${at === null ? "before the first event" : time(at)}`

/** Says which position was used; on stderr, so that stdout is the answer alone. */
export const sayAsOf = (asOf: AsOf): void => void process.stderr.write(`as of ${asOfText(asOf)}\n`)
