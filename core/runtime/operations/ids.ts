/**
 * Ids of new things. A retried command must be the same command to the byte, so with a command id they are made from it.
 *
 * **Details** Without one they are UUIDv7; with one, UUIDv8 (RFC 9562 §5.8): SHA-256 of the command id and a running number, cut to 122 bits.
 */
import { createHash } from "node:crypto"

export const idsOf = (fresh: () => string, commandId: string | undefined): (() => string) => {
  if (commandId === undefined) return fresh
  let n = 0
  return () => {
    const hex = createHash("sha256").update(`${commandId}/${n++}`).digest("hex")
    const variant = ((Number.parseInt(hex[16]!, 16) & 3) | 8).toString(16)
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-${variant}${hex.slice(17, 20)}-${hex.slice(20, 32)}`
  }
}
