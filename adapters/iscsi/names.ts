/**
 * Target names: which client's disks, and which of its boots.
 *
 *     iqn.2026-11.io.imagelink:pc-001                 the current generation
 *     iqn.2026-11.io.imagelink:pc-001:<boot id>       the generation of that boot
 *
 * **Details** iSCSI names are compared as lower case (RFC 7143 §4.2.7.2); a boot id is taken as it came, since whoever made it judges it.
 */
import { limits } from "../../core/limits.ts"

export const AUTHORITY = "iqn.2026-11.io.imagelink"

export interface TargetName {
  readonly client: string
  readonly boot: string | undefined
}

const form = /^iqn\.2026-11\.io\.imagelink:([a-z0-9](?:[a-z0-9-]*[a-z0-9])?)(?::([\x21-\x39\x3b-\x7e]+))?$/iu

/** Undefined when no such target can exist. */
export const parseTargetName = (name: string): TargetName | undefined => {
  if (name.length > limits.iscsiNameCharsMax) return undefined
  const [, client, boot] = form.exec(name) ?? []
  if (client === undefined || client.length > limits.clientNameCharsMax) return undefined
  return { client: client.toLowerCase(), boot }
}

export const targetName = (client: string, boot?: string): string =>
  `${AUTHORITY}:${client.toLowerCase()}${boot === undefined ? "" : `:${boot}`}`

/** An initiator's name: iqn., eui. or naa., without blanks or control characters, at most 223 bytes (§4.2.7.1). */
export const isInitiatorName = (name: string): boolean =>
  Buffer.byteLength(name) <= limits.iscsiNameCharsMax && /^(?:iqn\.|eui\.|naa\.)[^\s\p{Cc}]+$/iu.test(name)
