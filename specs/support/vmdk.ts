/** Builds VMDK files from the specification (Virtual Disk Format 5.0), small enough to be changed byte by byte. */
import { deflateSync } from "node:zlib"

const SECTOR = 512

/** A whole grain, or one that is marked as zeros. */
export type Grain = Uint8Array | "zero"

export interface SparseFields {
  readonly sizeBytes: number
  readonly grainBytes?: number
  readonly tableEntries?: number
  /** By number. */
  readonly grains: ReadonlyMap<number, Grain>
  readonly descriptor?: string
}

export const extentText = (lines: ReadonlyArray<string>, fields: Readonly<Record<string, string>> = {}): string => {
  const all = { version: "1", CID: "12345678", parentCID: "ffffffff", createType: '"custom"', ...fields }
  const pairs = Object.entries(all).map(([key, value]) => `${key}=${value}`)
  return [
    "# Disk DescriptorFile",
    ...pairs,
    "# Extent description",
    ...lines,
    "",
    "#DDB",
    'ddb.adapterType = "ide"',
    "",
  ].join("\n")
}

const own = (sizeBytes: number, fields?: Readonly<Record<string, string>>): string =>
  extentText([`RW ${sizeBytes / SECTOR} SPARSE "disk.vmdk"`], fields)

const header = (
  fields: SparseFields & { readonly flags: number; readonly version: number; readonly gdAt: bigint },
): Buffer => {
  const { sizeBytes, grainBytes = 4096, tableEntries = 512, descriptor = "" } = fields
  const b = Buffer.alloc(SECTOR)
  b.write("KDMV", 0, "latin1")
  b.writeUInt32LE(fields.version, 4)
  b.writeUInt32LE(fields.flags, 8)
  b.writeBigUInt64LE(BigInt(sizeBytes / SECTOR), 12)
  b.writeBigUInt64LE(BigInt(grainBytes / SECTOR), 20)
  b.writeBigUInt64LE(descriptor === "" ? 0n : 1n, 28)
  b.writeBigUInt64LE(BigInt(descriptorSectors(descriptor)), 36)
  b.writeUInt32LE(tableEntries, 44)
  b.writeBigUInt64LE(fields.gdAt, 56)
  b.writeBigUInt64LE(128n, 64)
  b.write("\n \r\n", 73, "latin1")
  if ((fields.flags & 0x10000) !== 0) b.writeUInt16LE(1, 77)
  return b
}

const descriptorSectors = (descriptor: string): number => Math.ceil(Buffer.byteLength(descriptor) / SECTOR)
const padded = (bytes: Uint8Array): Buffer =>
  Buffer.concat([bytes, Buffer.alloc((SECTOR - (bytes.length % SECTOR)) % SECTOR)])

/** The version and flag with which a grain table entry of 1 means zeros. */
const kindOf = (grains: ReadonlyMap<number, Grain>) =>
  [...grains.values()].includes("zero") ? { version: 2, flags: 1 | 4 } : { version: 1, flags: 1 }

/** header │ descriptor │ directory │ tables │ grains. Where its parts are, for those who change them. */
export const sparseVmdk = (
  given: SparseFields,
): { readonly bytes: Buffer; readonly directoryAt: number; readonly tablesAt: number } => {
  const { sizeBytes, grainBytes = 4096, tableEntries = 512, grains } = given
  const count = Math.ceil(sizeBytes / grainBytes)
  const tables = Math.ceil(count / tableEntries)
  const descriptor = padded(Buffer.from(given.descriptor ?? ""))
  const directoryAt = SECTOR + descriptor.length
  const directory = padded(Buffer.alloc(tables * 4))
  const tablesAt = directoryAt + directory.length
  const tableBytes = padded(Buffer.alloc(tableEntries * 4)).length
  const table = Buffer.alloc(tables * tableBytes)
  const used = new Set([...grains.keys()].map((grain) => Math.floor(grain / tableEntries)))
  for (const t of used) directory.writeUInt32LE((tablesAt + t * tableBytes) / SECTOR, t * 4)
  const parts: Array<Uint8Array> = []
  let at = tablesAt + table.length
  for (const [grain, bytes] of grains) {
    const entry = Math.floor(grain / tableEntries) * tableBytes + (grain % tableEntries) * 4
    table.writeUInt32LE(bytes === "zero" ? 1 : at / SECTOR, entry)
    if (bytes === "zero") continue
    parts.push(bytes)
    at += bytes.length
  }
  const first = header({ ...given, ...kindOf(grains), gdAt: BigInt(directoryAt / SECTOR) })
  return { bytes: Buffer.concat([first, descriptor, directory, table, ...parts]), directoryAt, tablesAt }
}

/** One sparse file with its descriptor inside. */
export const monolithicVmdk = (given: SparseFields, fields?: Readonly<Record<string, string>>) =>
  sparseVmdk({ ...given, descriptor: own(given.sizeBytes, fields) })

/** header │ descriptor │ marker, compressed grain │ … │ tables │ directory │ footer marker │ footer │ end-of-stream marker. */
export const streamVmdk = (
  given: SparseFields,
): { readonly bytes: Buffer; readonly tablesAt: number; readonly grainsAt: ReadonlyArray<number> } => {
  const { sizeBytes, grainBytes = 4096, tableEntries = 512, grains } = given
  const text = own(sizeBytes, { createType: '"streamOptimized"' })
  const descriptor = padded(Buffer.from(text))
  const count = Math.ceil(sizeBytes / grainBytes)
  const tables = Math.ceil(count / tableEntries)
  const table = Buffer.alloc(padded(Buffer.alloc(tables * tableEntries * 4)).length)
  const parts: Array<Uint8Array> = []
  const grainsAt: Array<number> = []
  let at = SECTOR + descriptor.length
  for (const [grain, bytes] of grains) {
    if (bytes === "zero") continue
    const packed = deflateSync(bytes)
    const marker = Buffer.alloc(12)
    marker.writeBigUInt64LE(BigInt((grain * grainBytes) / SECTOR), 0)
    marker.writeUInt32LE(packed.length, 8)
    const whole = padded(Buffer.concat([marker, packed]))
    table.writeUInt32LE(at / SECTOR, grain * 4)
    grainsAt.push(at)
    parts.push(whole)
    at += whole.length
  }
  const tablesAt = at
  const directory = padded(Buffer.alloc(tables * 4))
  for (let t = 0; t < tables; t++) directory.writeUInt32LE((tablesAt + t * tableEntries * 4) / SECTOR, t * 4)
  const place = { ...given, descriptor: text, version: 3, flags: 1 | 0x10000 | 0x20000 }
  const footer = header({ ...place, gdAt: BigInt((tablesAt + table.length) / SECTOR) })
  const marker = (sectors: number, type: number) => {
    const b = Buffer.alloc(SECTOR)
    b.writeBigUInt64LE(BigInt(sectors), 0)
    b.writeUInt32LE(type, 12)
    return b
  }
  const first = header({ ...place, gdAt: 0xffff_ffff_ffff_ffffn })
  const end = [table, directory, marker(1, 3), footer, marker(0, 0)]
  return { bytes: Buffer.concat([first, descriptor, ...parts, ...end]), tablesAt, grainsAt }
}
