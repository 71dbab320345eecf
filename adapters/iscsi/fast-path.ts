/**
 * READ and WRITE that the disk answers at once, answered where they stand: no task, no promise, nothing allocated.
 *
 * **Details** A read goes from the disk straight behind its header in the output slab, and its status rides in the last Data-In (RFC 7143 §11.7.3); a
 * write is taken from where its data lies. Whatever is unusual about a command (a miss, an error, FUA reads, residuals, protection, a CDB that will
 * be refused) is left to the slow path, which does it from the start: nothing was done and nothing was counted here.
 */
import { FUA } from "../../core/block/device.ts"
import { readU32 } from "../../core/bytes.ts"
import { limits } from "../../core/limits.ts"
import { GOOD } from "../scsi/sense.ts"
import { decodeTransfer, emptyTransfer, type Transfer } from "../scsi/transfer.ts"
import type { UnitView } from "../scsi/unit.ts"
import type { Agreed } from "./keys.ts"
import type { Output } from "./output.ts"
import * as pdu from "./pdu.ts"
import type { Sender } from "./sender.ts"

/** F, R and W, and a task attribute that is not ORDERED or above. */
const FLAGS = 0xe6
const READS = pdu.FINAL | pdu.COMMAND_READ
const WRITES = pdu.FINAL | pdu.COMMAND_WRITE

export class FastPath {
  private readonly sender: Sender
  private readonly out: Output
  private readonly agreed: Agreed
  private readonly transfer = emptyTransfer()

  constructor(sender: Sender, agreed: Agreed) {
    this.sender = sender
    this.out = sender.out
    this.agreed = agreed
  }

  /** False: not done, for the slow path to do. `view.clear` holds, and the tag is nobody's. */
  command(view: UnitView, head: Uint8Array, h: number, data: Uint8Array, d: number, bytes: number): boolean {
    if (!decodeTransfer(this.transfer, head, h + 32)) return false
    return this.transfer.write ? this.writeNow(view, head, h, data, d, bytes) : this.readNow(view, head, h)
  }

  /** A WRITE whose data was collected: true when the disk has taken it. */
  collected(view: UnitView, cdb: Uint8Array, data: Uint8Array): boolean {
    const t = this.transfer
    if (data.length > limits.syncIoBytesMax || !decodeTransfer(t, cdb, 0)) return false
    if (!t.write || t.protect !== 0 || !view.writable || hasNaca(t, cdb, -32)) return false
    const bytes = t.blocks * view.device.logicalBlockBytes
    const offset = t.lba * view.device.logicalBlockBytes
    if (bytes !== data.length || offset + bytes > view.device.sizeBytes) return false
    return this.writeFrom(view, data, 0, offset, bytes, t.fua)
  }

  /** A READ that the disk has at hand; false: the slow path does it, or refuses it. */
  private readNow(view: UnitView, head: Uint8Array, h: number): boolean {
    const t = this.transfer
    const { device } = view
    const bytes = t.blocks * device.logicalBlockBytes
    const offset = t.lba * device.logicalBlockBytes
    if (bytes > limits.syncIoBytesMax || bytes === 0 || t.fua || t.protect !== 0) return false
    if ((head[h + 1]! & FLAGS) !== READS || readU32(head, h + 20) !== bytes || offset + bytes > device.sizeBytes)
      return false
    const itt = readU32(head, h + 16)
    if (head[h + 4] !== 0 || hasNaca(t, head, h)) return false
    const { out, sender } = this
    const segmentMax = Math.min(this.agreed.sendSegmentBytesMax, this.agreed.maxBurstBytes)
    if (bytes <= segmentMax) {
      const at = out.room(out.pduBytes(bytes))
      if (!this.readInto(view, at + out.dataOffset, offset, bytes)) return false
      sender.dataInHeader(at, itt, 0, 0, bytes, pdu.FINAL | pdu.HAS_STATUS)
      out.seal(at, bytes)
      return true
    }
    return this.readSegments(view, itt, offset, bytes, segmentMax)
  }

  private readInto(view: UnitView, at: number, offset: number, bytes: number): boolean {
    try {
      return view.device.readSync(this.out.slab, at, offset, bytes)
    } catch {
      // The slow path meets the same error, and tells it.
      return false
    }
  }

  /** Several Data-In PDUs, all of them or none: where one misses, what stands in the slab was not counted yet. */
  private readSegments(view: UnitView, itt: number, offset: number, bytes: number, segmentMax: number): boolean {
    const { out, sender } = this
    const { maxBurstBytes } = this.agreed
    const count = Math.ceil(bytes / segmentMax) + Math.ceil(bytes / maxBurstBytes)
    // Of one byte, a PDU has the most padding.
    const start = out.room(bytes + count * (out.pduBytes(1) - 1))
    let at = start
    for (let done = 0; done < bytes; ) {
      const segment = Math.min(segmentMax, maxBurstBytes - (done % maxBurstBytes), bytes - done)
      if (!this.readInto(view, at + out.dataOffset, offset + done, segment)) return false
      at += out.pduBytes(segment)
      done += segment
    }
    at = start
    for (let done = 0, dataSN = 0; done < bytes; dataSN++) {
      const toBurstEnd = maxBurstBytes - (done % maxBurstBytes)
      const segment = Math.min(segmentMax, toBurstEnd, bytes - done)
      const last = done + segment === bytes
      const flags = last ? pdu.FINAL | pdu.HAS_STATUS : segment === toBurstEnd ? pdu.FINAL : 0
      sender.dataInHeader(at, itt, dataSN, done, segment, flags)
      out.seal(at, segment)
      at += out.pduBytes(segment)
      done += segment
    }
    return true
  }

  /** A WRITE whose data came with it, to a disk that takes it at once. */
  private writeNow(view: UnitView, head: Uint8Array, h: number, data: Uint8Array, d: number, bytes: number): boolean {
    const t = this.transfer
    const { device } = view
    if (t.blocks * device.logicalBlockBytes !== bytes || bytes === 0 || bytes > limits.syncIoBytesMax) return false
    const offset = t.lba * device.logicalBlockBytes
    if ((head[h + 1]! & FLAGS) !== WRITES || readU32(head, h + 20) !== bytes || offset + bytes > device.sizeBytes)
      return false
    if (t.protect !== 0 || head[h + 4] !== 0 || !view.writable || hasNaca(t, head, h)) return false
    const itt = readU32(head, h + 16)
    if (!this.agreed.immediateData || bytes > this.agreed.firstBurstBytes) return false
    if (!this.writeFrom(view, data, d, offset, bytes, t.fua)) return false
    this.sender.response(itt, GOOD, undefined, bytes, bytes)
    return true
  }

  private writeFrom(view: UnitView, data: Uint8Array, d: number, offset: number, bytes: number, fua: boolean): boolean {
    try {
      const flags = fua || !view.unit.modes.writeCache ? FUA : 0
      return view.device.writeSync(data, d, offset, bytes, flags)
    } catch {
      return false
    }
  }
}

/** NACA, in the last byte of the CDB (SAM-5 §5.2), which the slow path refuses. The CDB is at `h + 32`. */
const hasNaca = (t: Transfer, head: Uint8Array, h: number): boolean => (head[h + 31 + t.cdbBytes]! & 0x04) !== 0
