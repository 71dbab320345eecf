/**
 * IPv4 addresses as 32-bit numbers, and as text.
 *
 * **Details** Numbers, because a server compares and masks them for every packet; 0 is 0.0.0.0, "no address".
 */

export type Address = number

export const BROADCAST: Address = 0xffffffff

/** Undefined when it is not four decimal numbers. */
export const parseAddress = (text: string): Address | undefined => {
  const parts = text.split(".")
  if (parts.length !== 4) return undefined
  let address = 0
  for (const part of parts) {
    if (!/^(0|[1-9]\d{0,2})$/.test(part) || Number(part) > 255) return undefined
    address = address * 256 + Number(part)
  }
  return address
}

export const addressText = (a: Address): string => `${a >>> 24}.${(a >>> 16) & 255}.${(a >>> 8) & 255}.${a & 255}`

/** The mask of a prefix of 0 to 32 bits. */
export const maskOf = (prefix: number): Address => (prefix === 0 ? 0 : (0xffffffff << (32 - prefix)) >>> 0)

export interface Subnet {
  readonly network: Address
  readonly prefix: number
}

/** `10.0.0.0/24`; what is set beyond the prefix is cut off. */
export const parseSubnet = (text: string): Subnet | undefined => {
  const [, base, bits] = /^([\d.]+)\/(\d{1,2})$/.exec(text) ?? []
  const address = base === undefined ? undefined : parseAddress(base)
  const prefix = Number(bits)
  if (address === undefined || prefix > 32) return undefined
  return { network: (address & maskOf(prefix)) >>> 0, prefix }
}

export const inSubnet = (a: Address, { network, prefix }: Subnet): boolean => (a & maskOf(prefix)) >>> 0 === network
