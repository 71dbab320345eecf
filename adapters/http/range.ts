/**
 * One range of a file (RFC 9110 §14): what the header asks for, against how long the file is.
 *
 * **Details** A header that cannot be read, another unit, and several ranges are not answered as an error: the whole file is (§14.2, "MAY ignore").
 * A range that begins behind the end is 416.
 */

export interface Range {
  readonly start: number
  readonly length: number
}

export const rangeOf = (header: string | undefined, size: number): Range | "whole" | "unsatisfiable" => {
  const [, first, last] = /^bytes=(\d{0,15})-(\d{0,15})$/iu.exec((header ?? "").trim()) ?? []
  if (first === undefined || last === undefined || (first === "" && last === "")) return "whole"
  if (first === "") return suffix(Number(last), size)
  const start = Number(first)
  if (last !== "" && Number(last) < start) return "whole"
  if (start >= size) return "unsatisfiable"
  const end = last === "" ? size - 1 : Math.min(Number(last), size - 1)
  return { start, length: end - start + 1 }
}

/** The last bytes; of none, or of an empty file, there are none. */
const suffix = (bytes: number, size: number): Range | "unsatisfiable" => {
  const length = Math.min(bytes, size)
  return length === 0 ? "unsatisfiable" : { start: size - length, length }
}
