/**
 * The manual page imagelink(1), written from the command tree with the macros of man(7).
 *
 * **Details** Without a date, so that the same tree gives the same bytes.
 */
import { commonOptions, type Entry, type OptionEntry } from "./entries.ts"

/** A backslash would be an escape, a hyphen may be printed as a dash, and a line that begins with a dot or a quote is a request. */
const roff = (text: string): string => text.replaceAll("\\", "\\e").replaceAll("-", "\\-").replace(/^[.']/, "\\&$&")

const optionText = ({ flags, summary }: OptionEntry) => [".TP", `.B ${quoted(flags)}`, roff(summary)]
const quoted = (text: string) => `"${roff(text).replaceAll('"', '""')}"`

const verbText = (entry: Entry, common: ReadonlySet<string>): ReadonlyArray<string> => [
  `.SS ${quoted([...entry.path, entry.operands].join(" ").trim())}`,
  roff(entry.summary),
  ...entry.options.filter((o) => !common.has(o.flags)).flatMap(optionText),
]

const ends: ReadonlyArray<readonly [string, string]> = [
  ["0", "done"],
  ["1", "refused or failed"],
  ["2", "the command line or the configuration was not understood"],
  ["3", "the store is damaged"],
  ["4", "the server is not reachable"],
]

const variables: ReadonlyArray<readonly [string, string]> = [
  ["IMAGELINK_DATA", "the data folder, where --data does not name it"],
  ["IMAGELINK_SERVER", "the server to ask, where --server does not name it"],
  ["IMAGELINK_TOKEN", "the token for that server"],
  ["IMAGELINK_*", "each setting of serve: --nbd-port is IMAGELINK_NBD_PORT, and nbd-port in imagelink.toml"],
]

const list = (rows: ReadonlyArray<readonly [string, string]>) =>
  rows.flatMap(([name, text]) => [".TP", `.B ${quoted(name)}`, roff(text)])

export const manPage = (entries: ReadonlyArray<Entry>, version: string): string => {
  const [root, ...rest] = entries
  const verbs = rest.filter((e) => e.below.length === 0)
  const common = commonOptions(entries)
  const said = new Set(common.map((o) => o.flags))
  const lines = [
    `.TH IMAGELINK 1 "" "imagelink ${roff(version)}" "User Commands"`,
    ".SH NAME",
    "imagelink \\- a diskless\\-boot server",
    ".SH SYNOPSIS",
    ".B imagelink",
    ".I verb",
    "[operands] [options]",
    ".SH DESCRIPTION",
    roff(root!.summary),
    ".SH OPTIONS OF EVERY VERB",
    ...[...common, ...root!.options.filter((o) => !said.has(o.flags))].flatMap(optionText),
    ".SH VERBS",
    ...verbs.flatMap((entry) => verbText(entry, said)),
    ".SH ENVIRONMENT",
    ...list(variables),
    ".SH FILES",
    ...list([["imagelink.toml", "in the data folder: the settings of serve; imagelink config show says what holds"]]),
    ".SH EXIT STATUS",
    ...list(ends),
  ]
  return `${lines.join("\n")}\n`
}
