/**
 * INQUIRY and the vital product data pages (SPC-4 §6.6, §7.8; SBC-3 §6.6).
 *
 * | page | tells                                                                                       |
 * | ---- | ------------------------------------------------------------------------------------------- |
 * | 00   | which pages there are, in ascending order                                                   |
 * | 80   | unit serial number                                                                          |
 * | 83   | identification: NAA, EUI-64, T10 vendor, and the target port and device by their names      |
 * | 86   | extended INQUIRY data: all task attributes, a volatile cache, attentions cleared per I_T nexus     |
 * | B0   | block limits                                                                                |
 * | B1   | no rotation                                                                                 |
 * | B2   | thin provisioning, where the disk can give space back                                       |
 */
import { writeU16, writeU32, writeU64 } from "../../core/bytes.ts"
import { limits } from "../../core/limits.ts"
import { allocated, type Command, cdb16, type Reply } from "./command.ts"
import { type Identity, PRODUCT, REVISION, VENDOR } from "./identity.ts"
import { invalidField } from "./sense.ts"
import { blocksMax } from "./transfer.ts"

/** §6.6.2: direct access block device, connected; or nothing at this LUN. */
const CONNECTED = 0x00
const NOT_THERE = 0x7f

const ascii = (b: Uint8Array, at: number, text: string): void => {
  b.set(Buffer.from(text, "latin1"), at)
}

export const standardInquiry = (there: boolean): Buffer => {
  const b = Buffer.alloc(96)
  b[0] = there ? CONNECTED : NOT_THERE
  b[2] = 0x06
  b[3] = 0x12
  b[4] = b.length - 5
  b[5] = 0x08 // 3PC: EXTENDED COPY
  b[7] = 0x02
  ascii(b, 8, VENDOR)
  ascii(b, 16, PRODUCT)
  ascii(b, 32, REVISION)
  // Version descriptors (§6.6.2, table 142): SAM-5, iSCSI, SPC-4, SBC-3, no version claimed.
  for (const [i, version] of [0x00a0, 0x0960, 0x0460, 0x04c0].entries()) writeU16(b, 58 + 2 * i, version)
  return b
}

const page = (code: number, body: Uint8Array): Buffer => {
  const b = Buffer.alloc(4 + body.length)
  b[1] = code
  writeU16(b, 2, body.length)
  b.set(body, 4)
  return b
}

const designator = (codeSet: number, association: number, type: number, body: Uint8Array): Buffer => {
  const b = Buffer.alloc(4 + body.length)
  // Protocol identifier 5, iSCSI, counts where the association is not the unit (§7.8.6.1).
  b[0] = (association === 0 ? 0 : 0x50) | codeSet
  b[1] = (association === 0 ? 0 : 0x80) | (association << 4) | type
  b[3] = body.length
  b.set(body, 4)
  return b
}

/** A SCSI name string: UTF-8, ended by a NUL and padded with them to whole words (§7.8.6.11). */
const nameString = (text: string): Buffer => {
  const bytes = Buffer.byteLength(text) + 1
  const b = Buffer.alloc((bytes + 3) & ~3)
  b.write(text)
  return b
}

const BINARY = 1
const ASCII = 2
const UTF8 = 3
const UNIT = 0
const PORT = 1
const DEVICE = 2

/** The names of the unit itself, by which EXTENDED COPY finds it too. */
export const unitDesignators = ({ serial, naa, eui64 }: Identity): ReadonlyArray<Buffer> => [
  designator(BINARY, UNIT, 3, naa),
  designator(BINARY, UNIT, 2, eui64),
  designator(ASCII, UNIT, 1, Buffer.from(VENDOR + serial, "latin1")),
]

const identification = (identity: Identity, target: string): Buffer =>
  Buffer.concat([
    ...unitDesignators(identity),
    designator(BINARY, PORT, 4, Buffer.from([0, 0, 0, 1])),
    designator(UTF8, PORT, 8, nameString(`${target},t,0x0001`)),
    designator(UTF8, DEVICE, 8, nameString(target)),
  ])

const extended = (): Buffer => {
  const b = Buffer.alloc(60)
  b[1] = 0x07 // HEADSUP ORDSUP SIMPSUP
  b[2] = 0x01 // V_SUP
  b[3] = 0x01 // LUICLR
  return b
}

/** SBC-3 §6.6.3. Zero means: not reported, or no limit. */
const blockLimits = (c: Command): Buffer => {
  const { device } = c
  const block = device.logicalBlockBytes
  const b = Buffer.alloc(60)
  b[0] = 0x01 // WSNZ: a WRITE SAME of no blocks is refused
  b[1] = limits.scsiCompareBlocksMax
  writeU16(b, 2, device.physicalBlockBytes / block)
  writeU32(b, 4, blocksMax(block))
  writeU32(b, 8, Math.max(device.optimalIoBytes, device.physicalBlockBytes) / block)
  if (device.features.trim) {
    writeU32(b, 16, 0xffff_ffff)
    writeU32(b, 20, limits.scsiUnmapDescriptorsMax)
    writeU32(b, 24, device.physicalBlockBytes / block)
    b[28] = 0x80 // UGAVALID: aligned to LBA 0
  }
  writeU64(b, 32, limits.scsiWriteSameBytesMax / block)
  return b
}

const characteristics = (): Buffer => {
  const b = Buffer.alloc(60)
  writeU16(b, 0, 0x0001) // medium rotation rate: it does not
  return b
}

/** SBC-3 §6.6.4. LBPRZ: what was unmapped reads as zeros. */
const provisioning = (c: Command): Buffer => {
  const b = Buffer.alloc(4)
  if (c.device.features.trim) {
    b[1] = 0x80 | 0x40 | 0x20 | 0x04
    b[2] = 0x02
  }
  return b
}

const pages: Readonly<Record<number, (c: Command) => Uint8Array>> = {
  0: () => Uint8Array.from([0x00, 0x80, 0x83, 0x86, 0xb0, 0xb1, 0xb2]),
  128: (c) => Buffer.from(c.view.unit.identity.serial, "latin1"),
  131: (c) => identification(c.view.unit.identity, c.nexus.targetName),
  134: extended,
  176: blockLimits,
  177: characteristics,
  178: provisioning,
}

export const inquiry = (c: Command): Reply => {
  const evpd = (c.cdb[1]! & 0x01) !== 0
  const code = c.cdb[2]!
  if ((c.cdb[1]! & 0x02) !== 0) throw invalidField(1, 1)
  if (!evpd && code !== 0) throw invalidField(2)
  if (!evpd) return allocated(standardInquiry(true), cdb16(c, 3))
  const body = pages[code]
  if (body === undefined) throw invalidField(2)
  return allocated(page(code, body(c)), cdb16(c, 3))
}
