/** What qemu calls the formats in a backing format extension, and what they are called here. */

const PLAIN = /^[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?$/

export const formatOfQemu = (name: string): string | undefined => {
  if (name === "vpc") return "vhd"
  return PLAIN.test(name) ? name : undefined
}

export const qemuFormatOf = (format: string): string => (format === "vhd" ? "vpc" : format)
