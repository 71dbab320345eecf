/**
 * API tokens: who may ask over the network, as what. Kept beside the log, never in it, and never as they are: `tokens.json`, mode 0600.
 *
 *     il_<id>_<secret>      id: 8 hex digits, to find it; secret: 32 random bytes, base64url
 *
 * **Details** Kept is scrypt(secret, salt) (RFC 7914) with N 2^15, r 8, p 1. A token that was verified is trusted for a while without hashing
 * it again, until it is revoked or expires.
 */
import { createHash, scrypt, timingSafeEqual } from "node:crypto"
import { fail } from "../errors.ts"
import { limits } from "../limits.ts"

/** In the data folder. */
export const TOKENS = "tokens.json"

export type TokenRole = "viewer" | "auditor" | "operator" | "admin"
export const tokenRoles: ReadonlyArray<TokenRole> = ["viewer", "auditor", "operator", "admin"]

export interface TokenRow {
  readonly name: string
  readonly role: TokenRole
  /** Ids of the groups whose clients it may change; empty: no such bound. */
  readonly groups: ReadonlyArray<string>
  /** UTC milliseconds. */
  readonly createdAt: number
  readonly expiresAt: number | null
}

interface Kept extends TokenRow {
  readonly id: string
  /** Base64. */
  readonly salt: string
  readonly hash: string
}

/** Where they are kept, whole; `replace` has settled when it is on the disk. */
export interface TokenFile {
  read(): Promise<string | undefined>
  replace(text: string): Promise<void>
}

export interface NewToken {
  readonly name: string
  readonly role: TokenRole
  readonly groups: ReadonlyArray<string>
  readonly days: number | null
}

export interface TokenStore {
  /** By name. */
  list(): ReadonlyArray<TokenRow>
  /** Answers the token itself, this once. @throws TOKEN_EXISTS TOKEN_INVALID */
  create(asked: NewToken): Promise<{ readonly row: TokenRow; readonly token: string }>
  /** @throws TOKEN_NOT_FOUND */
  revoke(name: string): Promise<TokenRow>
  /** Undefined for what is no token, was revoked or is over. */
  verify(token: string): Promise<TokenRow | undefined>
}

const DAY_MILLIS = 86_400_000
const cost = { N: 32_768, r: 8, p: 1, maxmem: 64 * 1024 * 1024 }
const HASH_BYTES = 32
const form = /^il_([0-9a-f]{8})_([A-Za-z0-9_-]{43})$/
const nameForm = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/

const hashOf = (secret: string, salt: Buffer): Promise<Buffer> =>
  new Promise((resolve, reject) => {
    scrypt(secret, salt, HASH_BYTES, cost, (error, hash) => (error ? reject(error) : resolve(hash)))
  })

const rowOf = ({ name, role, groups, createdAt, expiresAt }: Kept): TokenRow => ({
  ...{ name, role, groups, createdAt, expiresAt },
})

const decode = (text: string | undefined): Array<Kept> => {
  if (text === undefined) return []
  try {
    const { tokens } = JSON.parse(text) as { readonly tokens: ReadonlyArray<Kept> }
    return [...tokens]
  } catch (e) {
    throw fail("STORE_DAMAGED", { file: "tokens.json", why: (e as Error).message })
  }
}

const judge = ({ name, role, days }: NewToken, held: ReadonlyArray<Kept>): void => {
  const bad = (why: string) => fail("TOKEN_INVALID", { why })
  if (!nameForm.test(name)) throw bad(`${JSON.stringify(name)} is no name for a token`)
  if (!tokenRoles.includes(role)) throw bad(`${JSON.stringify(role)} is no role`)
  if (days !== null && !(Number.isInteger(days) && days >= 1 && days <= limits.tokenDaysMax))
    throw bad(`a token holds for 1 to ${limits.tokenDaysMax} days`)
  if (held.some((t) => t.name.toLowerCase() === name.toLowerCase())) throw fail("TOKEN_EXISTS", { name })
  if (held.length >= limits.tokensMax) throw bad(`there are ${limits.tokensMax} tokens already`)
}

export const openTokens = async (
  file: TokenFile,
  now: () => number,
  random: (bytes: number) => Uint8Array,
): Promise<TokenStore> => {
  let held = decode(await file.read())
  /** Until when a digest of a whole token is trusted to be that one. */
  const trusted = new Map<string, { readonly id: string; readonly until: number }>()

  const keep = async (next: Array<Kept>) => {
    await file.replace(`${JSON.stringify({ version: 1, tokens: next }, null, 2)}\n`)
    held = next
    trusted.clear()
  }
  const alive = (kept: Kept | undefined) =>
    kept !== undefined && (kept.expiresAt === null || kept.expiresAt > now()) ? rowOf(kept) : undefined

  return {
    list: () => held.map(rowOf).sort((a, b) => (a.name < b.name ? -1 : 1)),

    async create(asked) {
      judge(asked, held)
      const { name, role, groups, days } = asked
      const id = Buffer.from(random(4)).toString("hex")
      const secret = Buffer.from(random(32)).toString("base64url")
      const salt = Buffer.from(random(16))
      const hash = await hashOf(secret, salt)
      judge(asked, held)
      const createdAt = now()
      const expiresAt = days === null ? null : createdAt + days * DAY_MILLIS
      const row = { name, role, groups, createdAt, expiresAt }
      await keep([...held, { id, ...row, salt: salt.toString("base64"), hash: hash.toString("base64") }])
      return { row, token: `il_${id}_${secret}` }
    },

    async revoke(name) {
      const found = held.find((t) => t.name.toLowerCase() === name.toLowerCase())
      if (found === undefined) throw fail("TOKEN_NOT_FOUND", { name })
      await keep(held.filter((t) => t !== found))
      return rowOf(found)
    },

    async verify(token) {
      const [, id, secret] = form.exec(token) ?? []
      const kept = held.find((t) => t.id === id)
      if (kept === undefined || secret === undefined) return undefined
      const digest = createHash("sha256").update(token).digest("base64")
      const known = trusted.get(digest)
      if (known !== undefined && known.id === id && known.until > now()) return alive(kept)
      const hash = await hashOf(secret, Buffer.from(kept.salt, "base64"))
      if (!timingSafeEqual(hash, Buffer.from(kept.hash, "base64"))) return undefined
      // It may have been revoked meanwhile.
      if (!held.includes(kept)) return undefined
      trusted.set(digest, { id: kept.id, until: now() + limits.apiTokenTrustedMillis })
      return alive(kept)
    },
  }
}
