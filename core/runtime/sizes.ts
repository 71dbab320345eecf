/** Sizes as people write them: `512`, `64K`, `256M`, `4GiB`; powers of 1024. */
const powers = { "": 0, k: 1, m: 2, g: 3, t: 4 } as const

/** Bytes, or undefined when the text is not a size. */
export const parseBytes = (text: string | number): number | undefined => {
  if (typeof text === "number") return Number.isSafeInteger(text) && text >= 0 ? text : undefined
  const [, amount, unit] = /^(\d+)\s*(?:([kmgt])i?)?b?$/i.exec(text.trim()) ?? []
  if (amount === undefined) return undefined
  const bytes = Number(amount) * 1024 ** powers[(unit ?? "").toLowerCase() as keyof typeof powers]
  return Number.isSafeInteger(bytes) ? bytes : undefined
}
