/** Samples as lines that one looks at: each column is a part of the time, its height the largest value in it. */
import { sizeText } from "../../core/runtime/sizes.ts"
import type { Sample } from "./samples.ts"

const COLUMNS = 60
const HEIGHTS = "▁▂▃▄▅▆▇█"

const mebibytes = (bytes: number) => sizeText(Math.round(bytes / 2 ** 20) * 2 ** 20)
const whole = (n: number) => String(Math.round(n))
const millis = (seconds: number) => `${(seconds * 1000).toFixed(1)} ms`

const rows: ReadonlyArray<readonly [string, (s: Sample) => number, (n: number) => string]> = [
  ["memory", (s) => s.rssBytes, mebibytes],
  ["beside heap", (s) => s.outsideBytes, mebibytes],
  ["heap", (s) => s.heapBytes, mebibytes],
  ["open files", (s) => s.files, whole],
  ["handles", (s) => s.resources, whole],
  ["loop lag p99", (s) => s.lagSeconds, millis],
]

/** The largest of each column's samples. */
export const columns = (values: ReadonlyArray<number>, count = COLUMNS): ReadonlyArray<number> => {
  const wide = Math.min(count, values.length)
  return Array.from({ length: wide }, (_, i) =>
    Math.max(...values.slice(Math.floor((i * values.length) / wide), Math.floor(((i + 1) * values.length) / wide))),
  )
}

/** From zero, so that what looks flat is flat. */
export const spark = (values: ReadonlyArray<number>): string => {
  const most = Math.max(...values)
  return values.map((v) => HEIGHTS[most === 0 ? 0 : Math.round((v / most) * (HEIGHTS.length - 1))]).join("")
}

export const drawn = (samples: ReadonlyArray<Sample>): string => {
  const lines = rows.map(([name, of, text]) => {
    const shown = columns(samples.map(of))
    const last = shown.at(-1) ?? 0
    return `${name.padEnd(13)} ${spark(shown)}  most ${text(Math.max(...shown))}, last ${text(last)}`
  })
  return `\n${lines.join("\n")}\n`
}
