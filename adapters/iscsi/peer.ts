/** Who is at the other end of a socket, in the words of core/block/lease.ts. */
import type { Peer } from "../../core/block/lease.ts"

/** `address` is what the socket calls the remote side; an IPv4 address inside IPv6 is shown as IPv4. */
export const peerOf = (address: string | undefined): Peer => {
  const plain = plainAddress(address)
  return { address: plain, loopback: plain === "::1" || /^127\.\d+\.\d+\.\d+$/u.test(plain), protocol: "iscsi" }
}

const plainAddress = (address: string | undefined): string =>
  (address ?? "unknown").replace(/^::ffff:(?=\d+\.\d+\.\d+\.\d+$)/iu, "")

/** An address and port as TargetAddress has them (RFC 7143 §13.8): IPv6 in brackets. */
export const portalAddress = (address: string | undefined, port: number | undefined): string => {
  const plain = plainAddress(address)
  return `${plain.includes(":") ? `[${plain}]` : plain}:${port ?? 3260}`
}
