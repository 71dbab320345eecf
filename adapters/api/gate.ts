/**
 * Admission: a unix socket's peer is who the kernel says it is, everybody else shows a token.
 *
 * **Details** Root and the user that the server runs as are admins on the socket; others that its file mode lets in are what `users` says, and
 * operators where it says nothing. Where the kernel's word cannot be had, the socket is for the server's own user alone (listen.ts).
 */
import { readFileSync } from "node:fs"
import type { IncomingMessage } from "node:http"
import { fail } from "../../core/errors.ts"
import type { Host } from "../../core/host.ts"
import { limits } from "../../core/limits.ts"
import type { TokenStore } from "../../core/runtime/tokens.ts"
import type { Caller } from "./caller.ts"
import type { Role } from "./contract/routes.ts"

export interface LocalUser {
  readonly name: string
  readonly role: Role
}

export interface GateOptions {
  readonly host: Host
  readonly tokens: () => Promise<TokenStore>
  readonly users: () => ReadonlyArray<LocalUser>
  /** UTC milliseconds. */
  readonly now: () => number
}

export interface Gate {
  /** @throws TOKEN_REFUSED */
  local(request: IncomingMessage): Caller
  /** @throws TOKEN_REFUSED TOO_MANY_REFUSALS */
  remote(request: IncomingMessage): Promise<Caller>
}

const MINUTE_MILLIS = 60_000

export const makeGate = ({ host, tokens, users, now }: GateOptions): Gate => {
  const refusals = new Map<string, { count: number; until: number }>()

  const refused = (address: string): void => {
    const known = refusals.get(address)
    if (known !== undefined && known.until > now()) known.count++
    else refusals.set(address, { count: 1, until: now() + MINUTE_MILLIS })
    // The oldest go first; who sends from that many addresses is not held back by this.
    for (const old of refusals.keys()) {
      if (refusals.size <= limits.apiRefusedAddressesMax) break
      refusals.delete(old)
    }
  }

  return {
    local(request) {
      const own = process.getuid?.()
      const fd = (request.socket as unknown as { _handle?: { fd?: number } })._handle?.fd
      const asked = fd === undefined ? undefined : host.peerCredentials?.(fd)
      // Where the kernel can be asked, others may use the socket: who is not told by it is nobody.
      if (host.peerCredentials !== undefined && asked === undefined)
        throw fail("TOKEN_REFUSED", { why: "the kernel does not say who is at the other end of the socket" })
      const uid = asked?.uid ?? own
      const name = uid === undefined || uid === own ? (host.userName?.() ?? "local") : nameOf(uid)
      const told = users().find((user) => user.name === name)?.role
      const role = uid === own || uid === 0 ? "admin" : (told ?? "operator")
      return { actor: { kind: "cli", name }, role, groups: [] }
    },

    async remote(request) {
      const address = request.socket.remoteAddress ?? "?"
      const known = refusals.get(address)
      if (known !== undefined && known.until > now() && known.count >= limits.apiRefusalsPerMinuteMax)
        throw fail("TOO_MANY_REFUSALS", { address })
      const [scheme, token] = (request.headers.authorization ?? "").split(" ")
      if (scheme?.toLowerCase() !== "bearer" || token === undefined)
        throw fail("TOKEN_REFUSED", { why: "the request has no bearer token (RFC 6750 §2.1)" })
      const row = await (await tokens()).verify(token)
      if (row === undefined) {
        refused(address)
        throw fail("TOKEN_REFUSED", { why: "the token is none of this server's, was revoked or is over" })
      }
      return { actor: { kind: "api", name: row.name }, role: row.role, groups: row.groups }
    },
  }
}

/** passwd(5); a user that is known elsewhere goes by number. */
const nameOf = (uid: number): string => {
  try {
    const line = readFileSync("/etc/passwd", "utf8")
      .split("\n")
      .find((one) => one.split(":")[2] === String(uid))
    return line?.split(":")[0] ?? `uid ${uid}`
  } catch {
    return `uid ${uid}`
  }
}
