/**
 * Which portal a client is sent to instead of this one (RFC 7143 §11.13.5, status class 1).
 *
 *     iscsi-redirect = "10.0.0.2"                        everybody, for now: 0101, "target moved temporarily"
 *     iscsi-moved    = "PC-007=10.0.0.3:3261"            one client, for good: 0102, "target moved permanently"
 *     iscsi-redirect = "PC-001=10.0.0.2, [fd00::2]"      one client there, all others there
 *
 * **Details** What names a client goes before what names everybody, and `iscsi-redirect` before `iscsi-moved`. A discovery lists the other portal. A login is
 * sent on before it is asked for a secret, because only the other portal may know that; so the answer tells nothing but the setting.
 */
import { isIP, isIPv6 } from "node:net"
import { refuseSetting } from "../../core/runtime/refused-setting.ts"
import { LOGIN_MOVED, LOGIN_MOVED_FOR_GOOD } from "./pdu.ts"

export interface Elsewhere {
  /** As TargetAddress has it: `10.0.0.2:3260`, `[fd00::2]:3260`. */
  readonly portal: string
  readonly status: typeof LOGIN_MOVED | typeof LOGIN_MOVED_FOR_GOOD
}
/** `client` is in lower case. */
export type ElsewhereOf = (client: string) => Elsewhere | undefined

export interface ElsewhereTexts {
  readonly "iscsi-redirect"?: string | undefined
  readonly "iscsi-moved"?: string | undefined
}

const EVERYBODY = "*"
const PORT = 3260

/** `own` is the portal that is served here. @throws CONFIG_INVALID */
export const decodeElsewhere = (texts: ElsewhereTexts, own: string): ElsewhereOf => {
  const forNow = portalsOf("iscsi-redirect", texts["iscsi-redirect"], own)
  const forGood = portalsOf("iscsi-moved", texts["iscsi-moved"], own)
  return (client) => {
    for (const who of [client, EVERYBODY]) {
      const portal = forNow.get(who) ?? forGood.get(who)
      if (portal !== undefined) return { portal, status: forNow.has(who) ? LOGIN_MOVED : LOGIN_MOVED_FOR_GOOD }
    }
    return undefined
  }
}

const portalsOf = (key: string, text: string | undefined, own: string): ReadonlyMap<string, string> => {
  const bad = (why: string) => refuseSetting([key], why)
  const portals = new Map<string, string>()
  for (const entry of text?.split(",") ?? []) {
    const cut = entry.indexOf("=")
    const who = cut < 0 ? EVERYBODY : entry.slice(0, cut).trim().toLowerCase()
    const portal = portalOf(entry.slice(cut + 1).trim())
    if (portal === undefined || who === "")
      throw bad(`expected PORTAL or CLIENT=PORTAL, where a portal is like 10.0.0.2:3260, got ${JSON.stringify(entry)}`)
    if (portals.has(who)) throw bad(`two portals for ${who === EVERYBODY ? "everybody" : who}`)
    if (portal === own) throw bad(`${portal} is this server itself`)
    portals.set(who, portal)
  }
  return portals
}

/** Undefined when it is none. */
const portalOf = (text: string): string | undefined => {
  if (isIPv6(text)) return `[${text}]:${PORT}`
  const [, host = "", port = String(PORT)] = /^(\[[^\]]+\]|[^:[\]\s]+)(?::(\d{1,5}))?$/u.exec(text) ?? []
  const inside = host.startsWith("[") ? host.slice(1, -1) : host
  const named = host.startsWith("[") ? isIPv6(inside) : isIP(host) === 4 || isName(host)
  return named && Number(port) > 0 && Number(port) <= 65_535 ? `${host}:${Number(port)}` : undefined
}

/** A host's name; what looks like an address and is none is not taken for one. */
const isName = (text: string): boolean =>
  text.length <= 253 &&
  !/^[\d.]+$/u.test(text) &&
  text.split(".").every((label) => /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/iu.test(label))
