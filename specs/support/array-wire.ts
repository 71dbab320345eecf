/** A Wire into an array, which can be told to take nothing for a while, like a peer that does not read. */
import type { Wire } from "../../adapters/socket/wire.ts"

export class ArrayWire implements Wire {
  /** What left, one entry for each send. */
  readonly sends: Array<Buffer> = []
  paused = false
  ended = false
  destroyed = false
  /** While set, sent bytes stay in the wire. */
  stuck = false
  private queue: Array<Uint8Array> = []

  send(bytes: Uint8Array): boolean {
    if (this.stuck || this.queue.length > 0) {
      this.queue.push(bytes)
      return false
    }
    this.sends.push(Buffer.from(bytes))
    return true
  }
  queuedBytes(): number {
    return this.queue.reduce((sum, b) => sum + b.length, 0)
  }
  /** Lets everything leave; the caller tells the session. */
  drain(): void {
    this.stuck = false
    for (const bytes of this.queue) this.sends.push(Buffer.from(bytes))
    this.queue = []
  }
  pause(): void {
    this.paused = true
  }
  resume(): void {
    this.paused = false
  }
  end(): void {
    this.ended = true
  }
  destroy(): void {
    this.destroyed = true
  }

  get bytes(): Buffer {
    return Buffer.concat(this.sends)
  }
  get hex(): string {
    return this.bytes.toString("hex")
  }
}
