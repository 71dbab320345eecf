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

/** A size in the largest unit that leaves a whole part, for messages: `40 KiB`, `1.5 GiB`. */
export const sizeText = (bytes: number): string => {
  const power = Math.min(4, Math.max(0, Math.floor(Math.log2(Math.max(1, bytes)) / 10)))
  const amount = bytes / 1024 ** power
  return `${Number.isInteger(amount) ? amount : amount.toFixed(1)} ${["bytes", "KiB", "MiB", "GiB", "TiB"][power]}`
}
