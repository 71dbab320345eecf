/**
 * The little of tar that an archive needs: regular files in the ustar interchange format (POSIX.1-2017, pax, "ustar Interchange Format").
 *
 *     ┌────────────────────┬─────────────────────────┬────────────────┬───┬──────────────────────┐
 *     │ header (512 bytes) │ content                 │ zeros to 512   │ … │ two blocks of zeros  │
 *     └────────────────────┴─────────────────────────┴────────────────┴───┴──────────────────────┘
 *
 *     header: name 0, mode 100, uid 108, gid 116, size 124, mtime 136, chksum 148, typeflag 156, linkname 157, magic 257, version 263,
 *             uname 265, gname 297, devmajor 329, devminor 337, prefix 345; numbers in octal, closed by NUL
 *
 * **Details** A header says nothing but name and size: mode 0644, owner and time 0. So the same files are the same bytes, and a reader can
 * hold a header against the one it would write, which leaves no byte of it unchecked. Ours because that is less than using a library
 * would be, and any tar opens it.
 */
import assert from "node:assert"

export const blockBytes = 512
const nameBytesMax = 100
const sizeMax = 8 ** 11 - 1

/** What follows the last file. */
export const tarEnd: Uint8Array = new Uint8Array(2 * blockBytes)

/** Zeros after a content of this length. */
export const paddingOf = (size: number): number => (blockBytes - (size % blockBytes)) % blockBytes

export const encodeHeader = (name: string, size: number): Uint8Array => {
  assert(/^[\x21-\x7e]+$/.test(name) && name.length <= nameBytesMax, "a name of printable ASCII that fits")
  assert(Number.isSafeInteger(size) && size >= 0 && size <= sizeMax, "a size that fits")
  const header = Buffer.alloc(blockBytes)
  const octal = (value: number, at: number, digits: number) =>
    header.write(value.toString(8).padStart(digits, "0"), at, "latin1")
  header.write(name, 0, "latin1")
  octal(0o644, 100, 7)
  octal(0, 108, 7)
  octal(0, 116, 7)
  octal(size, 124, 11)
  octal(0, 136, 11)
  header.write("        0", 148, "latin1")
  header.write("ustar\0" + "00", 257, "latin1")
  octal(0, 329, 7)
  octal(0, 337, 7)
  const sum = header.reduce((total, byte) => total + byte, 0)
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1")
  return header
}

/** Name and size; undefined where this is not, to the byte, a header that `encodeHeader` makes. */
export const decodeHeader = (header: Uint8Array): { readonly name: string; readonly size: number } | undefined => {
  const text = Buffer.from(header.buffer, header.byteOffset, header.byteLength).toString("latin1")
  const name = /^[\x21-\x7e]{1,100}/.exec(text.slice(0, nameBytesMax))?.[0]
  const size = /^[0-7]{11}/.exec(text.slice(124, 136))?.[0]
  if (name === undefined || size === undefined) return undefined
  const found = { name, size: Number.parseInt(size, 8) }
  return Buffer.compare(encodeHeader(name, found.size), header) === 0 ? found : undefined
}

export const isZero = (bytes: Uint8Array): boolean => bytes.every((byte) => byte === 0)
