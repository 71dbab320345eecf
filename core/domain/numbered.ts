/** Numbered names: `PC-{001..100}` spelled out, and the next free one after `PC-100`. */
import assert from "node:assert"
import { limits } from "../limits.ts"
import { isClientName, nameKey } from "./names.ts"

export type Expanded = { readonly names: ReadonlyArray<string> } | { readonly why: string }

/**
 * Spells out a range, or answers a text without braces as itself.
 *
 * **Details** As in a shell: when an end is written with a leading zero, all numbers are as wide as the wider end. A range names at most
 * `max`, and that is known before the first name is made.
 */
export const expandRange = (text: string, max: number): Expanded => {
  if (!/[{}]/.test(text)) return { names: [text] }
  const parts = /^([^{}]*)\{([0-9]{1,9})\.\.([0-9]{1,9})\}([^{}]*)$/.exec(text)
  if (!parts) return { why: `${JSON.stringify(text)} is not a range; write one like PC-{001..100}` }
  const [, before, from, to, after] = parts as unknown as [string, string, string, string, string]
  const first = Number(from)
  const last = Number(to)
  if (first > last) return { why: `the range ${text} runs backwards` }
  const count = last - first + 1
  if (count > max) return { why: `the range ${text} names ${count} clients; at most ${max} fit in one command` }
  const padded = /^0./.test(from) || /^0./.test(to)
  const width = padded ? Math.max(from.length, to.length) : 0
  return {
    names: Array.from({ length: count }, (_, i) => `${before}${String(first + i).padStart(width, "0")}${after}`),
  }
}

/** Where numbering begins when nothing else is said: the first name after it is PC-001. */
export const firstNumbered = "PC-000"

/**
 * The next name after `name` that is not taken: `PC-100` → `PC-101`, as wide as before or wider; `teacher` → `teacher-2`.
 * Undefined when the next would be longer than a name may be.
 */
export const nextName = (name: string, taken: (key: string) => boolean): string | undefined => {
  assert(isClientName(name), "numbering goes on from a valid name, or it would never find one")
  const parts = /^(.*?)([0-9]{1,9})$/.exec(name)
  const stem = parts ? parts[1]! : `${name}-`
  const width = parts ? parts[2]!.length : 1
  for (let n = parts ? Number(parts[2]) + 1 : 2; ; n++) {
    const next = `${stem}${String(n).padStart(width, "0")}`
    if (isClientName(next) && !taken(nameKey(next))) return next
    if (next.length > limits.clientNameCharsMax) return undefined
  }
}
