/** Boot options on a command line: `--option KEY=VALUE` sets one, `--no-option KEY` takes it away. */
import { fail } from "../../../core/errors.ts"
import type { OptionChanges } from "../../../core/runtime/site/clients.ts"

/** As it was written; `value` null for `--no-option`. */
export interface BootOption {
  readonly text: string
  readonly value: string | null
}

/** An input's `options`, left out where none is given. The last of a key counts. @throws USAGE, naming the help of `verb` */
export const optionChanges = (given: ReadonlyArray<BootOption> = [], verb: string): { options?: OptionChanges } => {
  if (given.length === 0) return {}
  const changes = given.map(({ text, value }) => {
    if (value === null) return [text, null] as const
    const equals = text.indexOf("=")
    if (equals < 1)
      throw fail("USAGE", {
        why: `--option is KEY=VALUE, not ${JSON.stringify(text)}`,
        see: `imagelink ${verb} --help`,
      })
    return [text.slice(0, equals), text.slice(equals + 1)] as const
  })
  return { options: Object.fromEntries(changes) }
}
