/** How a portal is written in text keys. */
import { plainAddress } from "../socket/peer.ts"

/** An address and port as TargetAddress has them (RFC 7143 §13.8): IPv6 in brackets. */
export const portalAddress = (address: string | undefined, port: number | undefined): string => {
  const plain = plainAddress(address)
  return `${plain.includes(":") ? `[${plain}]` : plain}:${port ?? 3260}`
}
