/**
 * The footer of a VHD: what kind of disk it is, how large, and who made it.
 *
 * Virtual Hard Disk Image Format Specification 1.0, "Hard Disk Footer Format"; everything is big-endian.
 *
 *      0        8        12       16            24       28      32       36         40             48
 *      │conectix│features│ version│ data offset │time    │creator│ its    │ host      │ original size│ current size …
 *     56    58 59 60          64         68            84            85
 *      │cyl │hd│sc│ disk type │ checksum │ unique id   │ saved state │ zeros to 512
 *
 * **The size.** Current Size is "the size of the hard disk in bytes, from the perspective of the virtual machine". Virtual PC showed its guests
 * only what the geometry can address, which is less; so does whatever names itself as it does. We take the same creators by geometry as
 * QEMU does (`vpc `, `vs  `, `qemu`), and, as it does, none whose geometry is the largest there is: that disk is too large to have one.
 */

export const footerBytes = 512
const CHECKSUM_AT = 64
const SECTOR = 512
const GEOMETRY_MAX_SECTORS = 65_535 * 16 * 255

/** By the geometry, not by Current Size. */
const geometryCreators: ReadonlySet<string> = new Set(["vpc ", "vs  ", "qemu"])

export interface Footer {
  readonly type: "fixed" | "dynamic" | "differencing"
  readonly sizeBytes: number
  /** Of the dynamic disk header; meaningless for a fixed disk. */
  readonly headerAt: number
  /** Hex. A differencing disk names its parent by it. */
  readonly uniqueId: string
}

const types: Readonly<Record<number, Footer["type"]>> = { 2: "fixed", 3: "dynamic", 4: "differencing" }

/** Whether a footer begins here, as far as a probe goes. */
export const isFooter = (bytes: Uint8Array): boolean => {
  const cookie = "conectix"
  return bytes.length >= cookie.length && Array.from(cookie).every((char, i) => bytes[i] === char.charCodeAt(0))
}

export const noFooter = "there is no footer"

/** Decodes 512 bytes; answers a sentence when they are no footer that can be trusted. */
export const decodeFooter = (bytes: Buffer): Footer | string => {
  if (!isFooter(bytes)) return noFooter
  if (checksum(bytes, CHECKSUM_AT) !== bytes.readUInt32BE(CHECKSUM_AT)) return "the checksum of its footer is wrong"
  if (bytes.readUInt32BE(12) >>> 16 !== 1) return `its footer is of version 0x${bytes.toString("hex", 12, 16)}`
  const type = types[bytes.readUInt32BE(60)]
  if (type === undefined) return `its footer names disk type ${bytes.readUInt32BE(60)}`
  return {
    type,
    sizeBytes: sizeBytes(bytes),
    headerAt: Number(bytes.readBigUInt64BE(16)),
    uniqueId: bytes.toString("hex", 68, 84),
  }
}

const sizeBytes = (bytes: Buffer): number => {
  const geometrySectors = bytes.readUInt16BE(56) * bytes[58]! * bytes[59]!
  const byGeometry = geometryCreators.has(bytes.toString("latin1", 28, 32)) && geometrySectors !== GEOMETRY_MAX_SECTORS
  return byGeometry ? geometrySectors * SECTOR : Number(bytes.readBigUInt64BE(48))
}

/** "One's complement of the sum of all the bytes … without the checksum field"; the dynamic disk header has one too. */
export const checksum = (bytes: Buffer, fieldAt: number): number => {
  let sum = 0
  for (let i = 0; i < bytes.length; i++) if (i < fieldAt || i >= fieldAt + 4) sum += bytes[i]!
  return ~sum >>> 0
}
