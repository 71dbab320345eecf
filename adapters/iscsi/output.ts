/**
 * iSCSI's framing over the shared output: padding, digests, and a burst's PDUs in one slab (core/slab-output.ts).
 *
 *     room(n) ─► header and data written into `slab` ─► seal(n): padding, digests ─► … ─► rest(): one send
 *
 * **Details** Digests are CRC-32C, sent least significant byte first (RFC 7143 §13.1, appendix A).
 */
import { crc32c } from "../../core/bytes.ts"
import { SlabOutput } from "../../core/slab-output.ts"
import { BHS_BYTES, padded } from "./pdu.ts"

export const putDigest = (b: Uint8Array, at: number, from: number, to: number): void => {
  const crc = crc32c(b.subarray(from, to))
  b[at] = crc
  b[at + 1] = crc >>> 8
  b[at + 2] = crc >>> 16
  b[at + 3] = crc >>> 24
}

export class Output extends SlabOutput {
  /** From the start of a PDU to its data. */
  dataOffset = BHS_BYTES
  private headerDigest = 0
  private dataDigest = 0

  /** From the next PDU on. */
  useDigests(header: boolean, data: boolean): void {
    this.headerDigest = header ? 4 : 0
    this.dataDigest = data ? 4 : 0
    this.dataOffset = BHS_BYTES + this.headerDigest
  }

  /** Bytes of a PDU with so much data. */
  pduBytes(dataBytes: number): number {
    return this.dataOffset + (dataBytes === 0 ? 0 : padded(dataBytes) + this.dataDigest)
  }

  /** A PDU stands at `at`, with so much data: pads it, adds the digests, and counts it as gathered. */
  seal(at: number, dataBytes: number): void {
    const { slab } = this
    if (this.headerDigest !== 0) putDigest(slab, at + BHS_BYTES, at, at + BHS_BYTES)
    let end = at + this.dataOffset
    if (dataBytes > 0) {
      const from = end
      end = from + dataBytes
      while (((end - from) & 3) !== 0) slab[end++] = 0
      if (this.dataDigest !== 0) {
        putDigest(slab, end, from, end)
        end += 4
      }
    }
    this.fill = end
  }
}
