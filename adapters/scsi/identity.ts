/**
 * What a logical unit calls itself, derived from the client's id and the slot, the same in every release and on every server.
 *
 * | name                    | made of                                                                            |
 * | ----------------------- | ---------------------------------------------------------------------------------- |
 * | unit serial number      | 32 hex digits: the first 128 bits of SHA-256 over `<client id>/<slot>`             |
 * | NAA (type 6 is for registered ids) | 3h, locally assigned, and 60 bits of it (SPC-4 §7.8.6.6.3)             |
 * | EUI-64                  | locally administered: 64 bits of it with the U/L bit (0200…) set and the group bit clear |
 *
 * **Details** A locally assigned NAA needs no vendor's OUI. The names do not change with resets, versions or images: Windows and Linux find
 * their disk by them after every boot.
 */
import { createHash } from "node:crypto"

/** T10 vendor identification, 8 characters; product, 16; revision, 4 (SPC-4 §6.4.2). Never changed between releases. */
export const VENDOR = "IMGLINK "
export const PRODUCT = "Imagelink disk  "
export const REVISION = "0001"

export interface Identity {
  readonly serial: string
  readonly naa: Buffer
  readonly eui64: Buffer
}

/** `key` is `<client id>/<slot>`. */
export const identityOf = (key: string): Identity => {
  const digest = createHash("sha256").update(key).digest()
  const naa = Buffer.from(digest.subarray(0, 8))
  naa[0] = 0x30 | (naa[0]! & 0x0f)
  const eui64 = Buffer.from(digest.subarray(8, 16))
  eui64[0] = (eui64[0]! & 0xfc) | 0x02
  return { serial: digest.subarray(0, 16).toString("hex"), naa, eui64 }
}
