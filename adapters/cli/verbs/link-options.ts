/** The options that every verb about links takes: `--slot` and `--overlay`. */
import { fail } from "../../../core/errors.ts"

/** @throws SLOT_INVALID */
export const slotOf = (text: string): number => {
  if (!/^\d{1,2}$/.test(text) || Number(text) > 15) throw fail("SLOT_INVALID", { slot: text })
  return Number(text)
}

/** @throws USAGE, naming the help of `verb` */
export const policyOf = (text: string | undefined, verb: string): "discard" | "keep" | undefined => {
  if (text === undefined || text === "discard" || text === "keep") return text
  throw fail("USAGE", { why: `--overlay is discard or keep, not ${text}`, see: `imagelink ${verb} --help` })
}
