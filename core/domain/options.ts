/** Boot options: a few texts under keys, which boot scripts read. */
import { fail, type ImagelinkError } from "../errors.ts"
import { limits } from "../limits.ts"
import { isOptionKey, isOptionValue } from "./names.ts"

export type Options = Readonly<Record<string, string>>

const problem = (option: string, value: string | null): ImagelinkError | undefined => {
  const refuse = (why: string) => fail("OPTION_INVALID", { option, why })
  if (!isOptionKey(option)) return refuse(`an option's name is 1 to ${limits.optionKeyCharsMax} of a-z, 0-9 and '-'`)
  if (value !== null && !isOptionValue(value))
    return refuse(`its value is one line of at most ${limits.optionValueCharsMax} characters`)
  return undefined
}

/** The options after these changes; null takes one away. Answers OPTION_INVALID. */
export const changeOptions = (
  before: Options,
  changes: Readonly<Record<string, string | null>> = {},
): Options | ImagelinkError => {
  const after = new Map(Object.entries(before))
  for (const [key, value] of Object.entries(changes)) {
    const refused = problem(key, value)
    if (refused) return refused
    if (value === null) after.delete(key)
    else after.set(key, value)
  }
  if (after.size <= limits.optionsMax) return Object.fromEntries(after)
  return fail("OPTION_INVALID", { option: [...after.keys()].at(-1)!, why: `there are at most ${limits.optionsMax}` })
}
