/** The command tree as a flat list of verbs and groups of verbs, for what is written from it: the manual page and the completions. */
import type { Command, Option } from "commander"

export interface Entry {
  /** Words after `imagelink`; empty for the root. */
  readonly path: ReadonlyArray<string>
  /** As it is written after the path: `<name> [clients...]`. */
  readonly operands: string
  readonly summary: string
  readonly options: ReadonlyArray<OptionEntry>
  /** Names and summaries of the verbs below; none for a verb. */
  readonly below: ReadonlyArray<readonly [name: string, summary: string]>
}

export interface OptionEntry {
  /** `--slot` */
  readonly long: string
  /** As declared: `--slot <n>`. */
  readonly flags: string
  readonly takesValue: boolean
  readonly summary: string
}

/** The root first, then depth first in the order of the tree. */
export const entriesOf = (command: Command, path: ReadonlyArray<string> = []): ReadonlyArray<Entry> => [
  {
    path,
    operands: command.registeredArguments.map(operandText).join(" "),
    summary: command.description(),
    options: command.options.filter((o) => !o.hidden).map(optionEntry),
    below: command.commands.map((c) => [c.name(), c.description()] as const),
  },
  ...command.commands.flatMap((c) => entriesOf(c, [...path, c.name()])),
]

const operandText = (a: Command["registeredArguments"][number]): string => {
  const name = `${a.name()}${a.variadic ? "..." : ""}`
  return a.required ? `<${name}>` : `[${name}]`
}

const optionEntry = (option: Option): OptionEntry => ({
  long: option.long!,
  flags: option.flags,
  takesValue: option.required || option.optional,
  summary:
    option.defaultValue === undefined || typeof option.defaultValue === "boolean"
      ? option.description
      : `${option.description} (default ${option.defaultValue})`,
})

/** What every verb takes, to be said once. */
export const commonOptions = (entries: ReadonlyArray<Entry>): ReadonlyArray<OptionEntry> => {
  const verbs = entries.filter((e) => e.below.length === 0)
  const takes = (verb: Entry, option: OptionEntry) => verb.options.some((o) => o.flags === option.flags)
  return verbs[0]!.options.filter((option) => verbs.every((verb) => takes(verb, option)))
}
