/**
 * Builds VHD files from the specification, for what qemu-img cannot make: differencing chains, and files that lie.
 *
 * Virtual Hard Disk Image Format Specification 1.0. Blocks are given as bytes with the sectors that are present; everything else is absent.
 */
import { patterned } from "./random.ts"

const SECTOR = 512

export interface FooterFields {
  readonly type: 2 | 3 | 4
  readonly sizeBytes: number
  readonly id: number
  readonly creator?: string
  readonly geometry?: readonly [cylinders: number, heads: number, sectors: number]
}

export const vhdFooter = ({ type, sizeBytes, id, creator = "win ", geometry = [1, 1, 1] }: FooterFields): Buffer => {
  const b = Buffer.alloc(SECTOR)
  b.write("conectix", 0, "latin1")
  b.writeUInt32BE(2, 8)
  b.writeUInt32BE(0x10000, 12)
  b.writeBigUInt64BE(type === 2 ? 0xffff_ffff_ffff_ffffn : 512n, 16)
  b.write(creator, 28, "latin1")
  b.writeBigUInt64BE(BigInt(sizeBytes), 40)
  b.writeBigUInt64BE(BigInt(sizeBytes), 48)
  b.writeUInt16BE(geometry[0], 56)
  b[58] = geometry[1]
  b[59] = geometry[2]
  b.writeUInt32BE(type, 60)
  vhdId(id).copy(b, 68)
  return sealFooter(b)
}

export const vhdId = (id: number): Buffer => patterned(16, 1000 + id)

/** Writes the checksum that belongs to a footer or, with 36, to a dynamic disk header. */
export const sealFooter = (b: Buffer, at = 64): Buffer => {
  b.writeUInt32BE(0, at)
  b.writeUInt32BE(~b.reduce((sum, byte) => sum + byte, 0) >>> 0, at)
  return b
}

export const fixedVhd = (guest: Uint8Array, fields: Partial<FooterFields> = {}): Buffer =>
  Buffer.concat([guest, vhdFooter({ type: 2, sizeBytes: guest.length, id: 1, ...fields })])

export interface Block {
  /** The whole block. */
  readonly bytes: Uint8Array
  /** Which of its sectors are here; all when left out. */
  readonly present?: (sector: number) => boolean
}

export interface DynamicFields {
  readonly sizeBytes: number
  readonly blockBytes: number
  readonly id: number
  /** By number. */
  readonly blocks: ReadonlyMap<number, Block>
  readonly parent?: {
    readonly id: number
    readonly name?: string
    /** Locator texts by platform code: UTF-16LE, and UTF-8 for `MacX`. */
    readonly locators?: Readonly<Record<string, string>>
  }
  readonly creator?: string
}

const sectors = (bytes: number) => Math.ceil(bytes / SECTOR) * SECTOR

/** footer copy │ header (1024) │ locator texts │ BAT │ blocks │ footer. */
export const dynamicVhd = ({ sizeBytes, blockBytes, id, blocks, parent, creator = "win " }: DynamicFields): Buffer => {
  const type = parent === undefined ? 3 : 4
  const footer = vhdFooter({ type, sizeBytes, id, creator })
  const entries = Math.ceil(sizeBytes / blockBytes)
  const texts = Object.entries(parent?.locators ?? {}).map(([code, text]) => ({
    code,
    bytes: Buffer.from(text, code === "MacX" ? "utf8" : "utf16le"),
  }))
  const tableAt = 1536 + texts.length * 4096
  const table = Buffer.alloc(sectors(entries * 4), 0xff)
  const header = Buffer.alloc(1024)
  header.write("cxsparse", 0, "latin1")
  header.writeBigUInt64BE(0xffff_ffff_ffff_ffffn, 8)
  header.writeBigUInt64BE(BigInt(tableAt), 16)
  header.writeUInt32BE(0x10000, 24)
  header.writeUInt32BE(entries, 28)
  header.writeUInt32BE(blockBytes, 32)
  if (parent !== undefined) {
    vhdId(parent.id).copy(header, 40)
    Buffer.from(parent.name ?? "", "utf16le")
      .swap16()
      .copy(header, 64)
  }
  const locators = Buffer.alloc(texts.length * 4096)
  for (const [i, { code, bytes }] of texts.entries()) {
    const at = 576 + i * 24
    header.write(code, at, "latin1")
    header.writeUInt32BE(4096, at + 4)
    header.writeUInt32BE(bytes.length, at + 8)
    header.writeBigUInt64BE(BigInt(1536 + i * 4096), at + 16)
    bytes.copy(locators, i * 4096)
  }
  sealFooter(header, 36)
  const parts: Array<Buffer> = [footer, header, locators, table]
  let at = tableAt + table.length
  for (const [number, { bytes, present = () => true }] of blocks) {
    const bitmap = Buffer.alloc(sectors(blockBytes / SECTOR / 8))
    for (let s = 0; s < blockBytes / SECTOR; s++) if (present(s)) bitmap[s >> 3]! |= 0x80 >> (s & 7)
    table.writeUInt32BE(at / SECTOR, number * 4)
    parts.push(bitmap, Buffer.from(bytes))
    at += bitmap.length + blockBytes
  }
  return Buffer.concat([...parts, footer])
}

/** A chain of differencing disks over a base, built by seed, with the guest's bytes of each file: base first. */
export const vhdChain = (options: {
  readonly sizeBytes: number
  readonly blockBytes: number
  readonly layers: number
  readonly seed: number
  readonly names?: (layer: number) => string
}): ReadonlyArray<{ readonly name: string; readonly file: Buffer; readonly guest: Buffer }> => {
  const { sizeBytes, blockBytes, layers, seed, names = (layer) => `layer-${layer}.vhd` } = options
  const count = Math.ceil(sizeBytes / blockBytes)
  const made: Array<{ name: string; file: Buffer; guest: Buffer }> = []
  for (let layer = 0; layer < layers; layer++) {
    const guest = Buffer.from(made.at(-1)?.guest ?? Buffer.alloc(sizeBytes))
    const blocks = new Map<number, Block>()
    for (let b = 0; b < count; b++) {
      if ((b + layer) % 3 === 0) continue
      const bytes = patterned(blockBytes, seed * 1000 + layer * 100 + b)
      const present = (s: number) => layer === 0 || (s * 7 + layer + b) % 5 < 2 || s % 64 < 9
      blocks.set(b, { bytes, present })
      for (let s = 0; s < blockBytes / SECTOR; s++) {
        const from = b * blockBytes + s * SECTOR
        if (present(s) && from < sizeBytes)
          bytes.copy(guest, from, s * SECTOR, Math.min((s + 1) * SECTOR, sizeBytes - b * blockBytes))
      }
    }
    const below = made.at(-1)
    const parent = below && { parent: { id: layer - 1, locators: { W2ru: `.\\${below.name}` } } }
    made.push({ name: names(layer), guest, file: dynamicVhd({ sizeBytes, blockBytes, id: layer, blocks, ...parent }) })
  }
  return made
}
