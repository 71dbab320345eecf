// The header that says which bytes an answer has (RFC 9110 §14.4): `bytes 0-65535/2147483648`, or with 416 `bytes */2147483648`.
export interface ContentRange {
  /** Undefined where the range could not be answered. */
  readonly first: number | undefined
  readonly last: number | undefined
  /** Undefined where the server does not know. */
  readonly sizeBytes: number | undefined
}

export const parseContentRange = (text: string | undefined): ContentRange | undefined => {
  const match = /^bytes (?:(\d{1,16})-(\d{1,16})|\*)\/(\d{1,16}|\*)$/i.exec(text?.trim() ?? "")
  if (match === null) return undefined
  const number = (digits: string | undefined) => (digits === undefined || digits === "*" ? undefined : Number(digits))
  const [first, last, sizeBytes] = [number(match[1]), number(match[2]), number(match[3])]
  if ([first, last, sizeBytes].some((n) => n !== undefined && !Number.isSafeInteger(n))) return undefined
  if (first !== undefined && (last! < first || (sizeBytes !== undefined && last! >= sizeBytes))) return undefined
  return { first, last, sizeBytes }
}
