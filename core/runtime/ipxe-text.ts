/**
 * Text from anywhere as words of an iPXE script, where it can be nothing but text.
 *
 * **Details** iPXE splits a line into words and then looks for the words `||`, `&&`, `;` and for one that begins with `#`; `${` begins a setting,
 * a backslash at the end of a line continues it, and there are no quotes. Text mode shows ASCII.
 */

const word = (text: string): string => {
  if (text === "||" || text === "&&") return text[0]!
  if (text === ";") return ","
  return text.replace(/^#/u, "'#")
}

/** One line, or the empty string. `setting`, like `${next-server}`, is left to iPXE to fill in. */
export const ipxeText = (text: string, setting = "\0"): string =>
  text
    .replaceAll(/[\p{Cc}\p{Zl}\p{Zp}\s]+/gu, " ")
    .replaceAll(/[^\x20-\x7e]/gu, "?")
    .replaceAll("${", (found, at: number, all: string) => (all.startsWith(setting, at) ? found : "$ {"))
    .trim()
    .split(" ")
    .map(word)
    .join(" ")
    .replace(/[\\ ]+$/u, "")

const COLUMNS = 78

/** `echo` commands that show the text, broken where the screen ends; `setting` as above. */
export const echo = (text: string, setting?: string): ReadonlyArray<string> => {
  const lines: Array<string> = []
  for (const one of ipxeText(text, setting).split(" ")) {
    const last = lines.at(-1)
    if (last === undefined || last.length + 1 + one.length > COLUMNS) lines.push(one)
    else lines[lines.length - 1] = `${last} ${one}`
  }
  // A word at the start of a line that begins with a dash would be an option of echo; a backslash at the end would swallow the next command.
  return lines.map((line) => `echo ${line.replace(/^-/u, "'-").replace(/\\+$/u, "")}`.trimEnd())
}
