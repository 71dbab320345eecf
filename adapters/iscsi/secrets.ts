/**
 * The CHAP secrets of an operator's file, judged (RFC 7143 §9.2.1).
 *
 *     [[chap]]
 *     client = "PC-001"                  # or "*": every client that has none of its own
 *     user = "pc-001"
 *     secret = "sixteen letters!"        # 12 to 255 bytes
 *     mutual-user = "server"             # both or neither: what the server proves of itself
 *     mutual-secret = "other than secret"
 *
 * **Details** A secret of fewer than 96 bits is refused ("MUST NOT be used" without IPsec), and so is one that serves both directions. Who parses the
 * file hands over plain values; the secrets never go to the log.
 */
import { fail } from "../../core/errors.ts"
import type { Secret } from "./chap.ts"
import type { TargetName } from "./names.ts"

export type SecretOf = (target: TargetName) => Secret | undefined

const SECRET_BYTES_MIN = 12
const SECRET_BYTES_MAX = 255
const keys = ["client", "user", "secret", "mutual-user", "mutual-secret"]

/** @throws CONFIG_INVALID naming the entry */
export const decodeSecrets = (file: string, input: unknown): SecretOf => {
  const bad = (why: string) => fail("CONFIG_INVALID", { file, why })
  const top = input as Record<string, unknown>
  for (const key of Object.keys(top)) if (key !== "chap") throw bad(`${key}: there is no such key`)
  if (!Array.isArray(top.chap)) throw bad("chap: expected one [[chap]] for each client")
  const book = new Map<string, Secret>()
  for (const [i, entry] of (top.chap as ReadonlyArray<Record<string, unknown>>).entries()) {
    const at = `chap ${i + 1}`
    for (const key of Object.keys(entry)) if (!keys.includes(key)) throw bad(`${at}: ${key}: there is no such key`)
    const text = (key: string): string => {
      const value = entry[key]
      if (typeof value !== "string" || value === "") throw bad(`${at}: ${key}: expected text`)
      return value
    }
    const client = text("client").toLowerCase()
    if (book.has(client)) throw bad(`${at}: a second entry for ${text("client")}`)
    const secret = bytesOf(text("secret"), at, bad)
    const mutual = entry["mutual-user"] !== undefined || entry["mutual-secret"] !== undefined
    if (!mutual) {
      book.set(client, { user: text("user"), secret })
      continue
    }
    const theirs = bytesOf(text("mutual-secret"), at, bad)
    if (secret.equals(theirs)) throw bad(`${at}: mutual-secret: expected another one than secret`)
    book.set(client, { user: text("user"), secret, mutual: { user: text("mutual-user"), secret: theirs } })
  }
  return ({ client }) => book.get(client) ?? book.get("*")
}

const bytesOf = (secret: string, at: string, bad: (why: string) => Error): Buffer => {
  const bytes = Buffer.from(secret, "utf8")
  if (bytes.length < SECRET_BYTES_MIN || bytes.length > SECRET_BYTES_MAX)
    throw bad(`${at}: a secret of ${bytes.length} bytes; expected ${SECRET_BYTES_MIN} to ${SECRET_BYTES_MAX}`)
  return bytes
}
