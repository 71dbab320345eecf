/**
 * NBD's replies over the shared output, which gathers those of a burst in one slab (core/slab-output.ts).
 *
 * To answer: `room(n)`, fill `slab` from the position it answers, `commit(n)`.
 */
import { SlabOutput } from "../../core/slab-output.ts"
import { type Cookie, encodeSimpleReply, SIMPLE_REPLY_BYTES } from "./transmission.ts"

export class Output extends SlabOutput {
  commit(bytes: number): void {
    this.fill += bytes
  }

  simple(to: Cookie, error: number): void {
    const at = this.room(SIMPLE_REPLY_BYTES)
    encodeSimpleReply(to, error, this.slab, at)
    this.fill += SIMPLE_REPLY_BYTES
  }

  /** A finished reply, which is the output's from now on: copied when small, sent as it is when large. */
  whole(reply: Uint8Array): void {
    if (reply.length > this.slabs.slabBytes / 4) {
      this.flush()
      if (this.open && !this.wire.send(reply)) this.queuedBytes = this.wire.queuedBytes()
      return
    }
    const at = this.room(reply.length)
    this.slab.set(reply, at)
    this.fill += reply.length
  }
}
