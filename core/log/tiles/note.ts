/**
 * Signed notes (C2SP signed-note): a text, a blank line, and signatures that name their key.
 *
 *     text, its last line ending in a newline
 *     (blank line)
 *     — <key name> base64(key ID (u32) ‖ Ed25519 signature of the text)
 *
 * The key ID is the first four bytes of SHA-256(key name ‖ 0x0A ‖ 0x01 ‖ public key), 0x01 being Ed25519. A verifier key line is
 * `<key name>+<key ID in hex>+base64(0x01 ‖ public key)`, as Go's sumdb/note reads it.
 *
 * **Details** Signatures of other keys are passed over; one of ours that does not verify spoils the note ("Signatures").
 */
import { createPublicKey, hash, type KeyObject, sign, verify } from "node:crypto"

const ed25519 = 0x01
/** SubjectPublicKeyInfo around 32 bytes of Ed25519 (RFC 8410 §4). */
const spkiPrefix = Buffer.from("302a300506032b6570032100", "hex")
const noteCharsMax = 1_000_000

export interface NoteKey {
  readonly name: string
  /** Ed25519, 32 bytes. */
  readonly publicKey: Uint8Array
}

const keyId = ({ name, publicKey }: NoteKey): Buffer =>
  hash("sha256", Buffer.concat([Buffer.from(`${name}\n`), Buffer.of(ed25519), publicKey]), "buffer").subarray(0, 4)

const base64 = (...parts: ReadonlyArray<Uint8Array>): string => Buffer.concat(parts).toString("base64")

export const verifierKey = (key: NoteKey): string =>
  `${key.name}+${keyId(key).toString("hex")}+${base64(Buffer.of(ed25519), key.publicKey)}`

/** The key of a verifier key line; undefined where it is none, or its key ID is not its own. */
export const parseVerifierKey = (line: string): NoteKey | undefined => {
  const [, name, encoded] = /^([^\s+]+)\+[0-9a-f]{8}\+([A-Za-z0-9+/]{44})$/u.exec(line) ?? []
  if (name === undefined || encoded === undefined) return undefined
  const bytes = Buffer.from(encoded, "base64")
  const key = { name, publicKey: new Uint8Array(bytes.subarray(1)) }
  return bytes[0] === ed25519 && verifierKey(key) === line ? key : undefined
}

/** `text` ends with a newline. */
export const signNote = (text: string, key: NoteKey, privateKey: KeyObject): string =>
  `${text}\n— ${key.name} ${base64(keyId(key), sign(null, Buffer.from(text), privateKey))}\n`

/** Why a note does not count. */
export interface NoteRefused {
  readonly refused: string
}

/** The text of a note that `key` signed. */
export const openNote = (note: string, key: NoteKey): { readonly text: string } | NoteRefused => {
  const end = note.lastIndexOf("\n\n")
  if (end < 0 || note.length > noteCharsMax || !note.endsWith("\n")) return { refused: "it is not a signed note" }
  const text = note.slice(0, end + 1)
  const lines = note.slice(end + 2, -1).split("\n")
  const id = keyId(key)
  let signed = false
  for (const line of lines) {
    const parts = /^— ([^\s+]+) ([A-Za-z0-9+/]+=*)$/u.exec(line)
    if (parts === null) return { refused: "it is not a signed note" }
    const bytes = Buffer.from(parts[2]!, "base64")
    if (bytes.toString("base64") !== parts[2]) return { refused: "it is not a signed note" }
    if (parts[1] !== key.name || !bytes.subarray(0, 4).equals(id)) continue
    if (!isSignature(text, key, bytes.subarray(4))) return { refused: `the signature of ${key.name} is not right` }
    signed = true
  }
  return signed ? { text } : { refused: `it is not signed by ${verifierKey(key)}` }
}

const isSignature = (text: string, { publicKey }: NoteKey, signature: Uint8Array): boolean => {
  const key = createPublicKey({ key: Buffer.concat([spkiPrefix, publicKey]), format: "der", type: "spki" })
  return signature.length === 64 && verify(null, Buffer.from(text), key, signature)
}
