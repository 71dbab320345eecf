/** How large the disk is, and which of its blocks hold something: READ CAPACITY and GET LBA STATUS (SBC-3). */
import { readU64, writeU16, writeU32, writeU64 } from "../../core/bytes.ts"
import { limits } from "../../core/limits.ts"
import { allocated, type Command, cdb32, type Reply } from "./command.ts"
import { GOOD, invalidField } from "./sense.ts"
import { judgeRange } from "./transfer.ts"

export const readCapacity10 = (c: Command): Reply => {
  // PMI and an LBA without it (§5.16.1) are obsolete; what is not zero is refused.
  if ((c.cdb[8]! & 0x01) !== 0) throw invalidField(8, 0)
  if (cdb32(c, 2) !== 0) throw invalidField(2)
  const b = Buffer.alloc(8)
  writeU32(b, 0, Math.min(c.view.capacityBlocks - 1, 0xffff_ffff))
  writeU32(b, 4, c.device.logicalBlockBytes)
  return { status: GOOD, data: b }
}

export const readCapacity16 = (c: Command): Reply => {
  const { device } = c
  const b = Buffer.alloc(32)
  writeU64(b, 0, c.view.capacityBlocks - 1)
  writeU32(b, 8, device.logicalBlockBytes)
  b[13] = Math.log2(device.physicalBlockBytes / device.logicalBlockBytes)
  // LBPME, LBPRZ; lowest aligned LBA 0.
  if (device.features.trim) writeU16(b, 14, 0xc000)
  return allocated(b, cdb32(c, 10))
}

const MAPPED = 0
const DEALLOCATED = 1

/** Runs of one provisioning status, as many as fit; the first one begins at the LBA that was asked for ("LBA status descriptor relationships"). */
export const getLbaStatus = async (c: Command): Promise<Reply> => {
  const { device, signal } = c
  const block = device.logicalBlockBytes
  const lba = readU64(c.cdb, 2)
  const allocation = cdb32(c, 10)
  judgeRange(lba, 1, c.view.capacityBlocks)
  const offset = lba * block
  const length = Math.min(device.sizeBytes - offset, limits.scsiStatusBytesMax)
  const extents = await device.extents(offset, length, limits.scsiStatusRunsMax, signal)
  const runs: Array<{ lba: number; blocks: number; status: number }> = []
  const end = offset + length
  for (const e of extents) {
    const from = Math.max(Math.floor(e.offset / block), lba)
    const to = Math.floor(Math.min(e.offset + e.length, end) / block)
    const status = e.kind === "data" ? MAPPED : DEALLOCATED
    const last = runs.at(-1)
    if (to <= from) continue
    if (last !== undefined && last.status === status) last.blocks = to - last.lba
    else runs.push({ lba: last === undefined ? from : last.lba + last.blocks, blocks: to - from, status })
  }
  if (runs.length === 0) runs.push({ lba, blocks: 1, status: MAPPED })
  const b = Buffer.alloc(8 + 16 * runs.length)
  writeU32(b, 0, b.length - 4)
  for (const [i, run] of runs.entries()) {
    writeU64(b, 8 + 16 * i, run.lba)
    writeU32(b, 16 + 16 * i, Math.min(run.blocks, 0xffff_ffff))
    b[20 + 16 * i] = run.status
  }
  return allocated(b, allocation)
}
