/**
 * Completions for bash, zsh and fish, written from the command tree.
 *
 * **Details** Each script walks the words typed so far to the verb they name, then offers what is below it: verbs, or its options and file names. A
 * verb may stand after `--data DIR` only, so the value of an option of the root is passed over.
 */
import type { Entry } from "./entries.ts"

export type Shell = "bash" | "zsh" | "fish"

/** Single quotes hold everything but themselves, in all three. */
const quoted = (text: string) => `'${text.replaceAll("'", "'\\''")}'`
const nameOf = (entry: Entry) => entry.path.join(" ")

/** Verb by verb, what `$at $word` may be: the pattern of a step down the tree. */
const steps = (entries: ReadonlyArray<Entry>): ReadonlyArray<string> =>
  entries.slice(1).map(({ path }) => `${path.slice(0, -1).join(" ")} ${path.at(-1)}`)

const rootValues = (entries: ReadonlyArray<Entry>): string =>
  entries[0]!.options
    .filter((o) => o.takesValue)
    .map((o) => o.long)
    .join(" | ")

const wordsOf = (entry: Entry) => [...entry.below.map(([name]) => name), ...entry.options.map((o) => o.long), "--help"]

const bash = (entries: ReadonlyArray<Entry>): string => `# bash completion for imagelink
_imagelink() {
  local cur=\${COMP_WORDS[COMP_CWORD]} at="" words="" i
  for ((i = 1; i < COMP_CWORD; i++)); do
    case \${COMP_WORDS[i]} in
      ${rootValues(entries)}) ((i++)); continue ;;
    esac
    case "$at \${COMP_WORDS[i]}" in
${steps(entries)
  .map((step) => `      ${quoted(step)}`)
  .join(" |\\\n")}) at="\${at:+$at }\${COMP_WORDS[i]}" ;;
    esac
  done
  case $at in
${entries.map((e) => `    ${quoted(nameOf(e))}) words=${quoted(wordsOf(e).join(" "))} ;;`).join("\n")}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -o default -F _imagelink imagelink
`

/** A colon ends the name in `_describe`. */
const described = (name: string, summary: string) => quoted(`${name.replaceAll(":", "\\:")}:${summary}`)

const zshCase = (entry: Entry): string => `    ${quoted(nameOf(entry))})
      verbs=(${entry.below.map(([name, summary]) => described(name, summary)).join(" ")})
      options=(${[...entry.options.map((o) => described(o.long, o.summary)), "'--help:display help'"].join(" ")}) ;;`

const zsh = (entries: ReadonlyArray<Entry>): string => `#compdef imagelink
_imagelink() {
  local at="" i
  local -a verbs options
  for ((i = 2; i < CURRENT; i++)); do
    case $words[i] in
      ${rootValues(entries)}) ((i++)); continue ;;
    esac
    case "$at $words[i]" in
${steps(entries)
  .map((step) => `      ${quoted(step)}`)
  .join(" |\\\n")}) at="\${at:+$at }$words[i]" ;;
    esac
  done
  case $at in
${entries.map(zshCase).join("\n")}
  esac
  (( $#verbs )) && _describe -t commands verb verbs
  [[ $PREFIX == -* ]] && _describe -o -t options option options
  (( $#verbs )) || _files
}
if [[ $funcstack[1] == _imagelink ]]; then _imagelink "$@"; else compdef _imagelink imagelink; fi
`

/** fish takes \\' within single quotes, and a backslash for itself. */
const fishQuoted = (text: string) => `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`

const fishLines = (entry: Entry): ReadonlyArray<string> => {
  const here = `complete -c imagelink -n ${fishQuoted(`__imagelink_at "${nameOf(entry)}"`)}`
  return [
    ...entry.below.map(([name, summary]) => `${here} -f -a ${name} -d ${fishQuoted(summary)}`),
    ...entry.options.map(
      (o) => `${here} -l ${o.long.slice(2)}${o.takesValue ? " -r" : ""} -d ${fishQuoted(o.summary)}`,
    ),
    `${here} -l help -d 'display help'`,
  ]
}

const fish = (entries: ReadonlyArray<Entry>): string => `# fish completion for imagelink
function __imagelink_at
    set -l at ''
    set -l passed 0
    for word in (commandline -opc)[2..-1]
        if test $passed = 1
            set passed 0
            continue
        end
        switch "$word"
            case ${rootValues(entries).replaceAll(" | ", " ")}
                set passed 1
                continue
        end
        switch "$at $word"
            case ${steps(entries).map(fishQuoted).join(" ")}
                set at (string trim -- "$at $word")
        end
    end
    test "$at" = "$argv[1]"
end
${entries.flatMap(fishLines).join("\n")}
`

export const completions: Readonly<Record<Shell, (entries: ReadonlyArray<Entry>) => string>> = { bash, zsh, fish }
