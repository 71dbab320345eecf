/**
 * What things are called: MAC addresses, names of clients and images, slots and IPv4 addresses, parsed and judged.
 *
 * **Details** A parser answers the canonical form or `undefined`; which error that is, its caller knows. Names are compared in lower
 * case, and none may read as a MAC, so that `PC-001` and `52-54-00-aa-bb-cc` on a command line are never in doubt.
 */
import { limits } from "../limits.ts"

// 525400aabbcc · 52:54:00:aa:bb:cc · 52-54-00-aa-bb-cc · 5254.00aa.bbcc · 5254-00aa-bbcc (how some switches print it)
const macPattern =
  /^(?:[0-9a-f]{12}|[0-9a-f]{2}(?::[0-9a-f]{2}){5}|[0-9a-f]{2}(?:-[0-9a-f]{2}){5}|[0-9a-f]{4}(?:\.[0-9a-f]{4}){2}|[0-9a-f]{4}(?:-[0-9a-f]{4}){2})$/i

/** Whether a text has the shape of a MAC address, usable or not. */
export const readsAsMac = (text: string): boolean => macPattern.test(text)

/**
 * A MAC in lower case with colons, from any usual spelling. Group addresses (IEEE 802-2014 §8.2.2: the lowest bit of the first
 * byte; broadcast is one of them) and all zeros belong to no single computer and are refused.
 */
export const parseMac = (text: string): string | undefined => {
  if (!readsAsMac(text)) return undefined
  const hex = text.replace(/[:.-]/g, "").toLowerCase()
  const group = (Number.parseInt(hex.slice(0, 2), 16) & 1) === 1
  if (group || hex === "000000000000") return undefined
  return hex.replace(/..(?=.)/g, "$&:")
}

/** The form in which names are compared. */
export const nameKey = (name: string): string => name.toLowerCase()

/** A DNS label (RFC 1123 §2.1) that does not read as a MAC. */
export const isClientName = (name: string): boolean =>
  name.length <= limits.clientNameCharsMax &&
  /^[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?$/.test(name) &&
  !readsAsMac(name)

/** Lower case only: an image's name is also a file name and part of export names, where case would be in doubt. */
export const isImageName = (name: string): boolean =>
  name.length <= limits.imageNameCharsMax && /^[a-z0-9-]+$/.test(name) && !readsAsMac(name)

export interface ParsedReference {
  readonly name: string
  /** The number after `@`; undefined where none was given. It may be 0: whether there is such a version is the catalogue's to say. */
  readonly version: number | undefined
}

/** Splits `NAME` or `NAME@V`. The name is only split off, not judged, because looking it up does that better. */
export const parseImageReference = (text: string): ParsedReference | undefined => {
  const parts = /^([^@]+)(?:@(0|[1-9][0-9]{0,8}))?$/.exec(text)
  if (!parts) return undefined
  return { name: parts[1]!, version: parts[2] === undefined ? undefined : Number(parts[2]) }
}

/** As a client's, so that a group may be called after a room: `lab-2`. */
export const isGroupName = isClientName

/** What follows `group:` in the name of a group where clients are named too; undefined in any other text. */
export const parseGroupReference = (text: string): string | undefined => /^group:(.*)$/is.exec(text)?.[1]

export const isOptionKey = (key: string): boolean => /^[a-z0-9-]+$/.test(key) && key.length <= limits.optionKeyCharsMax

/** One line of text: it ends up in a boot script, where a line break would begin another command. */
export const isOptionValue = (value: string): boolean =>
  value.length <= limits.optionValueCharsMax && !/[\p{Cc}\p{Zl}\p{Zp}]/u.test(value)

export const isSlot = (slot: number): boolean => Number.isInteger(slot) && slot >= 0 && slot <= limits.slotMax

/** `text` as an IPv4 address that one computer can have: not 0.x, loopback, multicast, reserved or broadcast (RFC 6890). */
export const parseAddress = (text: string): string | undefined => {
  if (!/^(?:(?:0|[1-9][0-9]{0,2})\.){3}(?:0|[1-9][0-9]{0,2})$/.test(text)) return undefined
  const bytes = text.split(".").map(Number)
  if (bytes.some((b) => b > 255)) return undefined
  const first = bytes[0]!
  return first === 0 || first === 127 || first >= 224 ? undefined : text
}
