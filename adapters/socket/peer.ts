/** Who is at the other end of a socket, in the words of core/block/lease.ts, and whether anybody is. */
import type { Peer } from "../../core/block/lease.ts"

/** `address` is what the socket calls the remote side; an IPv4 address inside IPv6 is shown as IPv4. */
export const peerOf = (address: string | undefined, protocol: Peer["protocol"]): Peer => {
  const plain = plainAddress(address)
  return { address: plain, loopback: plain === "::1" || /^127\.\d+\.\d+\.\d+$/u.test(plain), protocol }
}

export const plainAddress = (address: string | undefined): string =>
  (address ?? "unknown").replace(/^::ffff:(?=\d+\.\d+\.\d+\.\d+$)/iu, "")

const GONE: ReadonlySet<string> = new Set(["ETIMEDOUT", "EHOSTUNREACH", "ENETUNREACH"])

/** Nothing that was sent is acknowledged any more. */
export const isGone = (e: NodeJS.ErrnoException): boolean => GONE.has(e.code ?? "")
