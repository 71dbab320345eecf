/**
 * The two hashes of a Merkle tree (RFC 6962 §2.1): leaves and nodes begin with another byte, so that none can pass for the other.
 *
 *     leaf = SHA-256(0x00 ‖ entry)      node = SHA-256(0x01 ‖ left ‖ right)      no leaves = SHA-256("")
 */
import { hash } from "node:crypto"

/** SHA-256, 32 bytes. */
export type Hash = Uint8Array

export const hashBytes = 32

const sha256 = (bytes: Uint8Array): Hash => hash("sha256", bytes, "buffer")

export const emptyRoot: Hash = sha256(new Uint8Array(0))

/** Entries up to this size are hashed without an allocation for the prefix. */
const leafScratch = new Uint8Array(1 + 65_535)
const nodeScratch = new Uint8Array(1 + 2 * hashBytes)
nodeScratch[0] = 0x01

export const leafHash = (entry: Uint8Array): Hash => {
  const length = 1 + entry.length
  const prefixed = length <= leafScratch.length ? leafScratch.subarray(0, length) : new Uint8Array(length)
  prefixed.set(entry, 1)
  return sha256(prefixed)
}

export const nodeHash = (left: Hash, right: Hash): Hash => {
  nodeScratch.set(left, 1)
  nodeScratch.set(right, 1 + hashBytes)
  return sha256(nodeScratch)
}

export const sameHash = (a: Hash, b: Hash): boolean => Buffer.compare(a, b) === 0
