/**
 * On which line of a TOML text a key is set, for errors and for `config show`; the parser keeps no positions.
 *
 * **Details** A statement ends on the first line with which it parses alone, so strings and arrays over several lines are one statement, and no second
 * grammar is needed. A key is set by the first statement with which the text up to there holds it; that is monotonic, so it is bisected.
 */
import { parse } from "smol-toml"

type Path = ReadonlyArray<string | number>

const parses = (text: string): boolean => {
  try {
    parse(text)
    return true
  } catch {
    return false
  }
}

interface Statement {
  readonly first: number
  readonly last: number
}

/** Of a text that parses; lines count from 0. */
const statementsOf = (lines: ReadonlyArray<string>): ReadonlyArray<Statement> => {
  const statements: Array<Statement> = []
  for (let first = 0, last = 0; last < lines.length; last++) {
    if (!parses(lines.slice(first, last + 1).join("\n"))) continue
    statements.push({ first, last })
    first = last + 1
  }
  return statements
}

const holds = (value: unknown, path: Path): boolean =>
  path.length === 0 ||
  (typeof value === "object" &&
    value !== null &&
    Object.hasOwn(value, path[0]!) &&
    holds((value as Record<string | number, unknown>)[path[0]!], path.slice(1)))

/** Answers the line, from 1, that sets a path; of what is missing, the line of the table that it is missing from. */
export const tomlLines = (text: string): ((path: Path) => number | undefined) => {
  const lines = text.split(/\r?\n/)
  const whole = parse(text)
  const statements = statementsOf(lines)
  const upTo = (n: number) => parse(lines.slice(0, statements[n]!.last + 1).join("\n"))
  return (path) => {
    let known = path
    while (!holds(whole, known)) known = known.slice(0, -1)
    if (known.length === 0) return undefined
    let low = 0
    let high = statements.length - 1
    while (low < high) {
      const middle = (low + high) >> 1
      if (holds(upTo(middle), known)) high = middle
      else low = middle + 1
    }
    return statements[low]!.first + 1
  }
}
