/**
 * One SCSI command under way that could not be answered at once, and the data of a write as it arrives.
 *
 *     command ─► immediate data ─► unsolicited Data-Out, until F ─► R2T ─► solicited Data-Out ─► … ─► all there
 *
 * **Details** RFC 7143 §4.2.5.2, §11.7, §11.8. A burst that an R2T asks for is at most MaxBurstLength; as many R2Ts are out as were agreed. Within
 * a burst, PDUs may come in any order when DataPDUInOrder=No was agreed; every byte must come once. What goes past the data that the command
 * takes is counted and dropped.
 */
import { readU32 } from "../../core/bytes.ts"
import { limits } from "../../core/limits.ts"
import { ASC } from "../scsi/sense.ts"
import type { Place } from "../scsi/task-set.ts"
import type { Agreed } from "./keys.ts"
import { ATTRIBUTE_MASK, COMMAND_READ, COMMAND_WRITE } from "./pdu.ts"

interface Burst {
  readonly offset: number
  readonly bytes: number
  received: number
  dataSN: number
  /** Where pieces that came out of order lie; empty while all is in order. */
  pieces: Array<{ readonly from: number; readonly to: number }>
}

export type Taken = "more" | "burst-done" | "sequence" | { readonly wrong: string }

const none = new Uint8Array(0)

export class IscsiTask {
  readonly itt: number
  readonly lun: number
  readonly lunBytes: Uint8Array
  readonly cdb: Uint8Array
  /** Not counted in CmdSN. */
  readonly immediate: boolean
  readonly attribute: number
  /** Expected Data Transfer Length. */
  readonly expected: number
  readonly reads: boolean
  readonly writes: boolean
  /** What the command takes of Data-Out, by its CDB. */
  readonly takes: number
  /** What is collected: no more than either side means to move. */
  readonly wants: number
  /** How much Data-Out the initiator said it has. */
  readonly announced: number
  readonly gone = new AbortController()
  buffer: Uint8Array = none
  /** Bytes this task counts against the budgets. */
  charged = 0
  /** Unsolicited Data-Out is still to come. */
  unsolicited = false
  running = false
  aborted = false
  /** Decided before its data came: answered with this once the data has passed by. */
  status: number | undefined
  /** Why, where the status is CHECK CONDITION. */
  code: number = ASC.invalidFieldInInformationUnit
  /** In the line of its unit, where it has one. */
  place: Place | undefined
  r2tSN = 0
  private first: Burst = { offset: 0, bytes: 0, received: 0, dataSN: 0, pieces: [] }
  private asked = 0
  private readonly bursts = new Map<number, Burst>()

  /** Of the SCSI Command PDU at `h`; `takes` says how much Data-Out a CDB takes. */
  constructor(head: Uint8Array, h: number, lun: number, immediate: boolean, takes: (cdb: Uint8Array) => number) {
    const flags = head[h + 1]!
    this.itt = readU32(head, h + 16)
    this.lun = lun
    this.lunBytes = Buffer.from(head.subarray(h + 8, h + 16))
    this.cdb = Buffer.from(head.subarray(h + 32, h + 48))
    this.immediate = immediate
    this.attribute = flags & ATTRIBUTE_MASK
    this.expected = readU32(head, h + 20)
    this.reads = (flags & COMMAND_READ) !== 0
    this.writes = (flags & COMMAND_WRITE) !== 0
    this.takes = takes(this.cdb)
    this.announced = this.writes ? this.expected : 0
    this.wants = Math.min(this.announced, this.takes)
  }

  get complete(): boolean {
    return !this.unsolicited && this.bursts.size === 0 && this.asked >= this.wants
  }

  /** Immediate data, which begins at 0; then unsolicited data unless the command PDU was final. */
  begin(data: Uint8Array, d: number, bytes: number, unsolicited: boolean, firstBurstBytes: number): void {
    this.unsolicited = unsolicited
    this.first = { offset: 0, bytes: Math.min(firstBurstBytes, this.expected), received: bytes, dataSN: 0, pieces: [] }
    this.put(data, d, 0, bytes)
    this.asked = bytes
  }

  /** Unsolicited Data-Out. */
  takeUnsolicited(data: Uint8Array, d: number, offset: number, bytes: number, dataSN: number, final: boolean): Taken {
    const { first } = this
    if (!this.unsolicited) return { wrong: "unsolicited data after the last of it" }
    if (dataSN !== first.dataSN++) return "sequence"
    if (offset !== first.received) return { wrong: "unsolicited data out of order" }
    if (offset + bytes > first.bytes) return { wrong: "more unsolicited data than FirstBurstLength" }
    this.put(data, d, offset, bytes)
    first.received += bytes
    this.asked = first.received
    if (!final) return "more"
    this.unsolicited = false
    return "burst-done"
  }

  /** Data-Out that R2T `ttt` asked for. */
  takeSolicited(
    data: Uint8Array,
    d: number,
    ttt: number,
    offset: number,
    bytes: number,
    dataSN: number,
    final: boolean,
    inOrder: boolean,
  ): Taken {
    const burst = this.bursts.get(ttt)
    if (burst === undefined) return { wrong: "data for no R2T" }
    if (dataSN !== burst.dataSN++) return "sequence"
    if (offset < burst.offset || offset + bytes > burst.offset + burst.bytes) return { wrong: "data outside its R2T" }
    if (offset !== burst.offset + burst.received || burst.pieces.length > 0) {
      if (inOrder) return { wrong: "data out of order" }
      if (burst.pieces.length === 0 && burst.received > 0)
        burst.pieces.push({ from: burst.offset, to: burst.offset + burst.received })
      if (burst.pieces.some((p) => offset < p.to && p.from < offset + bytes)) return { wrong: "data came twice" }
      if (burst.pieces.length >= limits.iscsiBurstPiecesMax) return { wrong: "a burst in too many pieces" }
      burst.pieces.push({ from: offset, to: offset + bytes })
    }
    this.put(data, d, offset, bytes)
    burst.received += bytes
    if (!final) return "more"
    if (burst.received !== burst.bytes) return { wrong: "a burst that ends before all of it came" }
    this.bursts.delete(ttt)
    return "burst-done"
  }

  /** The next burst to ask for; undefined when all is asked for, or as much as may be at a time. */
  nextBurst(agreed: Agreed, ttt: () => number): { ttt: number; offset: number; bytes: number } | undefined {
    if (this.unsolicited || this.asked >= this.wants || this.bursts.size >= agreed.maxOutstandingR2T) return undefined
    const offset = this.asked
    const bytes = Math.min(agreed.maxBurstBytes, this.wants - offset)
    const tag = ttt()
    this.bursts.set(tag, { offset, bytes, received: 0, dataSN: 0, pieces: [] })
    this.asked += bytes
    return { ttt: tag, offset, bytes }
  }

  private put(data: Uint8Array, d: number, offset: number, bytes: number): void {
    const kept = Math.min(bytes, this.buffer.length - offset)
    if (kept > 0) this.buffer.set(data.subarray(d, d + kept), offset)
  }
}
