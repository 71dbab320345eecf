/**
 * The header of an overlay generation: what it is bound to, and which run of the host wrote its working map.
 *
 *     offset  bytes  field
 *          0      8  magic "ILOVRLAY"
 *          8      4  format version, 1
 *         12      4  incompatible features: who does not know a set bit refuses the overlay
 *         16      4  compatible features: may be ignored
 *         20      4  autoclear features: may be ignored; a writer that does not know a bit clears it
 *         24      8  size of the disk in bytes
 *         32      4  grain bytes
 *         36      4  version of the image it lies over
 *         40      1  slot
 *         41      1  policy: 0 discard, 1 keep, 2 super
 *         42      2  zero
 *         44      -  four strings, each 2 bytes of length and UTF-8: generation, client id, image id, host boot id
 *        end      4  CRC-32C of everything before
 *
 * All numbers are big-endian. The file is only ever replaced whole, so it is the old header or the new one. An empty host boot id means
 * that the host could not tell; it equals no other, not even another empty one.
 */
import assert from "node:assert"
import { crc32c, Reader, readU32, ShortInput, writeU16, writeU32, writeU64 } from "../../bytes.ts"
import { fail } from "../../errors.ts"
import { limits } from "../../limits.ts"
import type { VolumeFolder } from "../../storage/volume.ts"

export const HEADER_FILE = "header"
const MAGIC = "ILOVRLAY"
const STRINGS_AT = 44
const policies = ["discard", "keep", "super"] as const

/** What becomes of the writes: thrown away at the next boot, kept, or made into the image's next version. */
export type GenerationPolicy = (typeof policies)[number]

/** What an overlay belongs to; it opens over nothing else. */
export interface OverlayBinding {
  readonly generation: string
  readonly clientId: string
  readonly slot: number
  readonly imageId: string
  readonly version: number
  readonly policy: GenerationPolicy
}

export interface OverlayHeader extends OverlayBinding {
  readonly sizeBytes: number
  /** Boot id of the host whose page cache the working map can be trusted with; empty when unknown. */
  readonly hostBootId: string
}

export type DecodedHeader =
  | { readonly ok: true; readonly header: OverlayHeader }
  | { readonly ok: false; readonly why: string }

export const encodeHeader = (h: OverlayHeader): Uint8Array => {
  const strings = [h.generation, h.clientId, h.imageId, h.hostBootId].map((s) => Buffer.from(s, "utf8"))
  for (const s of strings) assert(s.length <= 0xffff, "a string of the header fits its length field")
  const bytes = Buffer.alloc(STRINGS_AT + strings.reduce((sum, s) => sum + 2 + s.length, 0) + 4)
  bytes.write(MAGIC, 0, "latin1")
  writeU32(bytes, 8, 1)
  writeU64(bytes, 24, h.sizeBytes)
  writeU32(bytes, 32, limits.grainBytes)
  writeU32(bytes, 36, h.version)
  bytes[40] = h.slot
  bytes[41] = policies.indexOf(h.policy)
  let at = STRINGS_AT
  for (const s of strings) {
    writeU16(bytes, at, s.length)
    s.copy(bytes, at + 2)
    at += 2 + s.length
  }
  writeU32(bytes, at, crc32c(bytes.subarray(0, at)))
  return bytes
}

export const decodeHeader = (bytes: Uint8Array): DecodedHeader => {
  const no = (why: string): DecodedHeader => ({ ok: false, why })
  if (bytes.length < STRINGS_AT + 12) return no("its header is too short")
  const end = bytes.length - 4
  if (readU32(bytes, end) !== crc32c(bytes.subarray(0, end))) return no("its header does not match its checksum")
  const r = new Reader(bytes, 0, end)
  const text = (length: number) => Buffer.from(r.take(length)).toString("utf8")
  try {
    if (text(8) !== MAGIC) return no("its header is not one of an overlay")
    const format = r.u32()
    if (format !== 1) return no(`its format version is ${format}; only 1 is known`)
    if (r.u32() !== 0) return no("it needs features of a newer Imagelink")
    r.skip(8)
    const sizeBytes = r.u64()
    const grainBytes = r.u32()
    if (grainBytes !== limits.grainBytes) return no(`its grains are ${grainBytes} bytes, not ${limits.grainBytes}`)
    if (!(sizeBytes > 0 && sizeBytes <= limits.imageBytesMax)) return no("its disk size is not possible")
    const version = r.u32()
    const slot = r.u8()
    const policy = policies[r.u8()]
    if (policy === undefined) return no("its policy is not known")
    r.skip(2)
    const [generation, clientId, imageId, hostBootId] = [0, 1, 2, 3].map(() => text(r.u16())) as Four
    if (r.left !== 0) return no("its header is too long")
    return { ok: true, header: { generation, clientId, slot, imageId, version, policy, sizeBytes, hostBootId } }
  } catch (e) {
    if (e instanceof ShortInput) return no("its header is cut short")
    throw e
  }
}
type Four = [string, string, string, string]

/**
 * Says that this run of the host's working map is not to be believed: a sync failed, and the next would succeed although what it
 * should have brought to the disk is lost. The overlay opens by its durable map then, as after a power loss.
 *
 * **Gotchas** A disk that fails to sync and cannot take this either, or a process killed between the two, is not covered: then the working
 * map is believed although data it names may be lost.
 */
export const distrustWorking = (folder: VolumeFolder, header: OverlayHeader): Promise<void> =>
  folder.replaceFile(HEADER_FILE, encodeHeader({ ...header, hostBootId: "" }))

/** Marks every map sector as this generation's. */
export const tagOf = (b: OverlayBinding): number =>
  crc32c(Buffer.from(`${b.generation}/${b.clientId}/${b.slot}`, "utf8"))

/** The header of the generation in `folder`, or undefined when there is none. @throws OVERLAY_DAMAGED */
export const readHeader = async (folder: VolumeFolder): Promise<OverlayHeader | undefined> => {
  const bytes = await folder.readFile(HEADER_FILE)
  if (bytes === undefined) return undefined
  const decoded = decodeHeader(bytes)
  if (!decoded.ok) throw fail("OVERLAY_DAMAGED", { path: folder.path, why: decoded.why })
  return decoded.header
}
