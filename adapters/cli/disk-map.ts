/** A disk as one line of marks, each for an equal part of it. */
import { bytes } from "./output.ts"

/** `parts`: how many bytes of each part are meant. The last part may be shorter. */
export const diskMap = (parts: ReadonlyArray<number>, partBytes: number, sizeBytes: number): string => {
  const marks = parts.map((found, i) => mark(found, Math.min(partBytes, sizeBytes - i * partBytes)))
  return `[${marks.join("")}]\n  each mark is ${bytes(partBytes)}: . nothing, - some, + a tenth, # half of it or more`
}

const mark = (found: number, of: number): string => {
  if (found === 0) return "."
  if (found * 10 < of) return "-"
  return found * 2 < of ? "+" : "#"
}
