/**
 * Writes the target's PDUs of a running session into its output, with the sequence numbers each carries (RFC 7143 §11).
 *
 * **Details** StatSN counts the PDUs that carry a status, and is put when a PDU is written, so replies that settle in any order are numbered
 * in the order they leave (§4.2.2.2). MaxCmdSN leaves room for as many commands as may still come: the window less what is under way
 * (§4.2.2.1); it never goes back.
 */
import { writeU16, writeU32 } from "../../core/bytes.ts"
import type { Agreed } from "./keys.ts"
import type { Output } from "./output.ts"
import {
  ASYNC_MESSAGE,
  BHS_BYTES,
  beginHeader,
  DATA_IN,
  FINAL,
  HAS_STATUS,
  LOGOUT_RESPONSE,
  NO_TAG,
  NOP_IN,
  next,
  putDataSegmentBytes,
  putNumbers,
  R2T,
  REJECT,
  RESIDUAL_OVERFLOW,
  RESIDUAL_UNDERFLOW,
  SCSI_RESPONSE,
  TASK_MANAGEMENT_RESPONSE,
  TEXT_RESPONSE,
} from "./pdu.ts"

export class Sender {
  readonly out: Output
  private readonly agreed: Agreed
  private readonly window: number
  statSN: number
  expCmdSN: number
  /** Commands counted in CmdSN that are under way. */
  underWay = 0

  constructor(out: Output, agreed: Agreed, numbers: { statSN: number; expCmdSN: number; window: number }) {
    this.out = out
    this.agreed = agreed
    this.statSN = numbers.statSN
    this.expCmdSN = numbers.expCmdSN
    this.window = numbers.window
  }

  get maxCmdSN(): number {
    return (this.expCmdSN + this.window - this.underWay - 1) >>> 0
  }

  private numbers(b: Uint8Array, at: number): void {
    putNumbers(b, at, this.statSN, this.expCmdSN, this.maxCmdSN)
  }
  private numbersCounted(b: Uint8Array, at: number): void {
    this.numbers(b, at)
    this.statSN = next(this.statSN)
  }

  /** The header of one Data-In PDU at `at` (§11.7); the data behind it is there already. */
  dataInHeader(at: number, itt: number, dataSN: number, offset: number, bytes: number, flags: number): void {
    const b = this.out.slab
    beginHeader(b, at, DATA_IN, flags, itt)
    putDataSegmentBytes(b, at, bytes)
    writeU32(b, at + 20, NO_TAG)
    if ((flags & HAS_STATUS) === 0) this.numbers(b, at)
    else this.numbersCounted(b, at)
    writeU32(b, at + 36, dataSN)
    writeU32(b, at + 40, offset)
  }

  /**
   * A read's data, which ends with its status GOOD in the last PDU (§11.7.3, phase collapse): cut into segments as long as the initiator takes,
   * the end of each burst marked.
   */
  dataIn(itt: number, data: Uint8Array, bytes: number, expected: number): void {
    const { sendSegmentBytesMax, maxBurstBytes } = this.agreed
    let dataSN = 0
    for (let offset = 0; offset < bytes; ) {
      const toBurstEnd = maxBurstBytes - (offset % maxBurstBytes)
      const segment = Math.min(sendSegmentBytesMax, toBurstEnd, bytes - offset, this.segmentRoom)
      const total = this.out.pduBytes(segment)
      const at = this.out.room(total)
      this.out.slab.set(data.subarray(offset, offset + segment), at + this.out.dataOffset)
      const last = offset + segment === bytes
      const flags = last ? FINAL | HAS_STATUS | residualFlag(data.length, expected) : segment === toBurstEnd ? FINAL : 0
      this.dataInHeader(at, itt, dataSN++, offset, segment, flags)
      if (last) writeU32(this.out.slab, at + 44, Math.abs(expected - data.length))
      this.out.seal(at, segment)
      offset += segment
    }
  }

  /** The longest segment that is written at a time: it fits a slab with its header and digests. */
  private readonly segmentRoom = 262_144

  /** SCSI Response (§11.4): `moved` is what the command would have moved, `expected` what the initiator announced. */
  response(
    itt: number,
    status: number,
    sense: Uint8Array | undefined,
    moved: number,
    expected: number,
    expDataSN = 0,
  ): void {
    const dataBytes = sense === undefined ? 0 : 2 + sense.length
    const at = this.out.room(this.out.pduBytes(dataBytes))
    const b = this.out.slab
    beginHeader(b, at, SCSI_RESPONSE, FINAL | residualFlag(moved, expected), itt)
    b[at + 3] = status
    putDataSegmentBytes(b, at, dataBytes)
    this.numbersCounted(b, at)
    writeU32(b, at + 36, expDataSN)
    writeU32(b, at + 44, Math.abs(expected - moved))
    if (sense !== undefined) {
      writeU16(b, at + this.out.dataOffset, sense.length)
      b.set(sense, at + this.out.dataOffset + 2)
    }
    this.out.seal(at, dataBytes)
  }

  r2t(itt: number, lun: Uint8Array, ttt: number, r2tSN: number, offset: number, bytes: number): void {
    const at = this.begin(R2T, FINAL, itt)
    const b = this.out.slab
    b.set(lun, at + 8)
    writeU32(b, at + 20, ttt)
    this.numbers(b, at)
    writeU32(b, at + 36, r2tSN)
    writeU32(b, at + 40, offset)
    writeU32(b, at + 44, bytes)
    this.out.seal(at, 0)
  }

  /** NOP-In: an answer with the data that came (§11.19), or a ping of ours, which counts no StatSN. */
  nopIn(itt: number, ttt: number, lun: Uint8Array | undefined, data: Uint8Array): void {
    const bytes = Math.min(data.length, this.agreed.sendSegmentBytesMax)
    const at = this.begin(NOP_IN, FINAL, itt, bytes)
    const b = this.out.slab
    if (lun !== undefined) b.set(lun, at + 8)
    writeU32(b, at + 20, ttt)
    if (itt === NO_TAG) this.numbers(b, at)
    else this.numbersCounted(b, at)
    b.set(data.subarray(0, bytes), at + this.out.dataOffset)
    this.out.seal(at, bytes)
  }

  taskManagement(itt: number, response: number): void {
    const at = this.begin(TASK_MANAGEMENT_RESPONSE, FINAL, itt)
    this.out.slab[at + 2] = response
    this.numbersCounted(this.out.slab, at)
    this.out.seal(at, 0)
  }

  text(itt: number, ttt: number, flags: number, text: Uint8Array): void {
    const at = this.begin(TEXT_RESPONSE, flags, itt, text.length)
    const b = this.out.slab
    writeU32(b, at + 20, ttt)
    this.numbersCounted(b, at)
    b.set(text, at + this.out.dataOffset)
    this.out.seal(at, text.length)
  }

  logout(itt: number, response: number): void {
    const at = this.begin(LOGOUT_RESPONSE, FINAL, itt)
    const b = this.out.slab
    b[at + 2] = response
    this.numbersCounted(b, at)
    writeU16(b, at + 40, this.agreed.defaultTime2Wait)
    writeU16(b, at + 42, this.agreed.defaultTime2Retain)
    this.out.seal(at, 0)
  }

  /** Reject (§11.17): the header that was not taken comes back as data. */
  reject(reason: number, head: Uint8Array, h: number): void {
    const at = this.begin(REJECT, FINAL, NO_TAG, BHS_BYTES)
    const b = this.out.slab
    b[at + 2] = reason
    this.numbersCounted(b, at)
    b.set(head.subarray(h, h + BHS_BYTES), at + this.out.dataOffset)
    this.out.seal(at, BHS_BYTES)
  }

  asyncMessage(event: number, parameter1: number, parameter2: number, parameter3: number): void {
    const at = this.begin(ASYNC_MESSAGE, FINAL, NO_TAG)
    const b = this.out.slab
    this.numbersCounted(b, at)
    b[at + 36] = event
    writeU16(b, at + 38, parameter1)
    writeU16(b, at + 40, parameter2)
    writeU16(b, at + 42, parameter3)
    this.out.seal(at, 0)
  }

  private begin(opcode: number, flags: number, itt: number, dataBytes = 0): number {
    const at = this.out.room(this.out.pduBytes(dataBytes))
    beginHeader(this.out.slab, at, opcode, flags, itt)
    putDataSegmentBytes(this.out.slab, at, dataBytes)
    return at
  }
}

export const residualFlag = (moved: number, expected: number): number =>
  moved === expected ? 0 : moved > expected ? RESIDUAL_OVERFLOW : RESIDUAL_UNDERFLOW
