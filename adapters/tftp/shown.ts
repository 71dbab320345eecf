/** What a client sent, in words fit for a log: printable ASCII, and not too long. */
import { limits } from "../../core/limits.ts"

export const shown = (text: string): string => {
  const plain = text.replaceAll(/[^\x20-\x7e]/gu, "?")
  return plain.length <= limits.tftpShownCharsMax ? plain : `${plain.slice(0, limits.tftpShownCharsMax)}...`
}
