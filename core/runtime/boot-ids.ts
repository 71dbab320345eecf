/**
 * Boot ids: what tells a PC that rebooted from one that lost its server for a while.
 *
 *     offset  bytes  field
 *          0      6  time it was made, UTC milliseconds, big-endian
 *          6      9  random
 *         15     15  HMAC-SHA-256 under the site's secret over label, client id and the 15 bytes before, cut to 120 bits
 *
 * **Details** The 30 bytes are written in base32 (RFC 4648 §6, lower case, no padding): 48 characters that an iSCSI name may hold (RFC 3722) and
 * that leave 150 of its 223 bytes (RFC 7143 §4.2.7.1). The first 24 characters are the boot's *name*: they are in the log and in messages.
 * Without the other 24 nobody can log in, so a log may be read by anyone.
 *
 * A pending boot id needs no state: whoever has the secret can judge it, and the client's immutable id is part of what is signed.
 */
import assert from "node:assert"
import { createHmac, timingSafeEqual } from "node:crypto"

const TIME = 6
const RANDOM = 9
const BODY = TIME + RANDOM
const MAC = 15
const ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
/** Both halves are whole groups of 5 bytes, so neither shares a character with the other. */
const NAME_CHARS = (BODY * 8) / 5
const CHARS = ((BODY + MAC) * 8) / 5

export const bootSecretBytes = 32

/** Stands where a boot id would be: in a script that is only looked at, and in the name of a target that shows what the next boot would begin on. */
export const PREVIEW = "PREVIEW"

/** iSCSI names have no case (RFC 7143 §4.2.7.2). */
export const isPreview = (bootId: string | undefined): boolean => bootId?.toUpperCase() === PREVIEW

/** A boot id that this site made for this client. */
export interface BootShown {
  /** Its first half. */
  readonly boot: string
  /** When it was made, UTC milliseconds. */
  readonly at: number
}

export type JudgedBoot = ({ readonly ok: true } & BootShown) | { readonly ok: false; readonly why: string }

export interface BootIds {
  /** `random` answers that many bytes from a cryptographic source. */
  make(clientId: string, at: number, random: (bytes: number) => Uint8Array): string
  /** Whether it is one of this site's for this client. How old it may be is for whoever knows what it is shown for. */
  judge(bootId: string, clientId: string): JudgedBoot
  /** What a PC can prove to know of its boot without showing it: 24 characters. Of a boot id that was judged. */
  password(bootId: string, clientId: string): string
}

/** What may be told of a boot id: its first half, for the other is a key. */
export const bootName = (bootId: string): string => bootId.slice(0, NAME_CHARS)

export const makeBootIds = (secret: Uint8Array): BootIds => {
  assert(secret.length === bootSecretBytes, "a boot secret is 32 bytes")
  const signed = (what: string, clientId: string, bytes: Uint8Array): Buffer =>
    createHmac("sha256", secret).update(`imagelink ${what} 1\0${clientId}\0`).update(bytes).digest().subarray(0, MAC)
  const mac = (clientId: string, body: Uint8Array): Buffer => signed("boot id", clientId, body)
  return {
    make(clientId, at, random) {
      const body = Buffer.alloc(BODY)
      body.writeUIntBE(at, 0, TIME)
      body.set(random(RANDOM), TIME)
      return encode(Buffer.concat([body, mac(clientId, body)]))
    },
    judge(bootId, clientId) {
      const text = bootId.toLowerCase()
      const bytes = text.length === CHARS ? decode(text) : undefined
      if (bytes === undefined) return { ok: false, why: `it is not ${CHARS} characters of a to z and 2 to 7` }
      const body = bytes.subarray(0, BODY)
      if (!timingSafeEqual(bytes.subarray(BODY), mac(clientId, body)))
        return { ok: false, why: "this site did not make it for this client" }
      return { ok: true, boot: text.slice(0, NAME_CHARS), at: body.readUIntBE(0, TIME) }
    },
    password(bootId, clientId) {
      return encode(signed("boot password", clientId, Buffer.from(bootId.toLowerCase(), "latin1")))
    },
  }
}

/** RFC 4648 §6, for a multiple of 5 bytes. */
const encode = (bytes: Uint8Array): string => {
  let text = ""
  let bits = 0
  let held = 0
  for (const byte of bytes) {
    held = ((held << 8) | byte) & 0xfff
    for (bits += 8; bits >= 5; bits -= 5) text += ALPHABET[(held >> (bits - 5)) & 31]
  }
  return text
}

const decode = (text: string): Buffer | undefined => {
  const bytes = Buffer.alloc((text.length * 5) / 8)
  let bits = 0
  let held = 0
  let at = 0
  for (const char of text) {
    const value = ALPHABET.indexOf(char)
    if (value < 0) return undefined
    held = ((held << 5) | value) & 0xfff
    bits += 5
    if (bits < 8) continue
    bits -= 8
    bytes[at++] = (held >> bits) & 0xff
  }
  return bytes
}
