/** Who is at the other end of a socket, in the words of core/block/lease.ts. */
import type { Peer } from "../../core/block/lease.ts"

/** `address` is what the socket calls the remote side; an IPv4 address inside IPv6 is shown as IPv4. */
export const peerOf = (address: string | undefined): Peer => {
  const plain = (address ?? "unknown").replace(/^::ffff:(?=\d+\.\d+\.\d+\.\d+$)/iu, "")
  return { address: plain, loopback: plain === "::1" || /^127\.\d+\.\d+\.\d+$/u.test(plain), protocol: "nbd" }
}
