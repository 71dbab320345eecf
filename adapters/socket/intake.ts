/**
 * What a connection receives, as far as its session takes it: the rest waits, and its peer with it.
 *
 *     chunk ─► take ─► all of it: the next may come
 *                 └──► not all: the rest is kept, the socket is read no more ─► goOn ─► take …
 *
 * **Gotchas** A chunk is the receiver's for the time of the call alone (receive.ts), so what waits is a copy.
 */

export interface IntakeInput {
  readonly socket: { pause(): void; resume(): void }
  /** Takes a chunk from its beginning, and answers how much of it. */
  readonly take: (chunk: Uint8Array) => number
  /** Taking would get somewhere. */
  readonly mayTake: () => boolean
}

export class Intake {
  private readonly input: IntakeInput
  private backlog: Array<Uint8Array> = []
  private paused = false

  constructor(input: IntakeInput) {
    this.input = input
  }

  receive(chunk: Uint8Array): void {
    if (this.backlog.length > 0) {
      this.backlog.push(Buffer.from(chunk))
      return
    }
    const taken = this.input.take(chunk)
    if (taken < chunk.length) this.keep(Buffer.from(chunk.subarray(taken)))
  }

  /** Takes up what had to wait, as far as that goes now. */
  goOn(): void {
    if (this.backlog.length > 0 && this.input.mayTake()) {
      const chunks = this.backlog
      this.backlog = []
      for (const chunk of chunks) {
        if (this.backlog.length > 0) this.backlog.push(chunk)
        else {
          const taken = this.input.take(chunk)
          if (taken < chunk.length) this.keep(chunk.subarray(taken))
        }
      }
    }
    if (this.backlog.length === 0) this.resume()
  }

  /** Lets go of what waits. */
  drop(): void {
    this.backlog = []
  }

  /** Has the peer heard again, be it only that it closes. */
  resume(): void {
    if (!this.paused) return
    this.paused = false
    this.input.socket.resume()
  }

  private keep(rest: Uint8Array): void {
    this.backlog.push(rest)
    if (this.paused) return
    this.paused = true
    this.input.socket.pause()
  }
}
