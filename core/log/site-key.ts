/**
 * The site's Ed25519 key (RFC 8032): made from 32 given bytes, kept as PKCS #8 PEM (RFC 8410 §7).
 */
import assert from "node:assert"
import { createPrivateKey, createPublicKey, type KeyObject } from "node:crypto"

export interface SiteKey {
  readonly privateKey: KeyObject
  /** The raw 32 bytes. */
  readonly publicKey: Uint8Array
}

export const siteKeySeedBytes = 32

/** PKCS #8 around a seed: SEQUENCE { version 0, { id-Ed25519 1.3.101.112 }, OCTET STRING { OCTET STRING of 32 } } (RFC 8410 §7). */
const pkcs8Prefix = Buffer.from("302e020100300506032b657004220420", "hex")

const withPublic = (privateKey: KeyObject): SiteKey => {
  // SubjectPublicKeyInfo of Ed25519 ends with the 32 bytes of the key (RFC 8410 §4)
  const spki = createPublicKey(privateKey).export({ format: "der", type: "spki" })
  return { privateKey, publicKey: new Uint8Array(spki.subarray(-32)) }
}

/** The key of a seed. */
export const siteKeyFromSeed = (seed: Uint8Array): SiteKey => {
  assert(seed.length === siteKeySeedBytes, "an Ed25519 seed is 32 bytes")
  return withPublic(createPrivateKey({ key: Buffer.concat([pkcs8Prefix, seed]), format: "der", type: "pkcs8" }))
}

/** The key in a PEM file's text; undefined when it holds none. */
export const siteKeyFromPem = (pem: string): SiteKey | undefined => {
  try {
    const key = createPrivateKey({ key: pem, format: "pem" })
    return key.asymmetricKeyType === "ed25519" ? withPublic(key) : undefined
  } catch {
    return undefined
  }
}

export const siteKeyPem = (key: SiteKey): string => String(key.privateKey.export({ format: "pem", type: "pkcs8" }))
