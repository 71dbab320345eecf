/** Server-sent events (WHATWG HTML §9.2) as a readable stream: whoever writes is held back by a reader that is slow. */
import { PassThrough } from "node:stream"

export class EventStream {
  readonly body = new PassThrough()
  readonly #beat: ReturnType<typeof setInterval>

  /** Says every `heartbeatMillis` that it is alive, so that nobody between takes it for dead. */
  constructor(heartbeatMillis: number) {
    this.#beat = setInterval(() => this.body.write(":\n\n"), heartbeatMillis)
    this.#beat.unref()
    this.body.once("close", () => clearInterval(this.#beat))
    this.body.on("error", () => {})
  }

  /** Settles when the reader has taken enough of it, or is gone. `data` has no line end. */
  send(name: string, data: string, id?: number | string): void | Promise<void> {
    if (this.body.destroyed) return
    const head = id === undefined ? "" : `id: ${id}\n`
    if (!this.body.write(`${head}event: ${name}\ndata: ${data}\n\n`)) return this.#drained()
  }

  end(): void {
    clearInterval(this.#beat)
    this.body.end()
  }

  #drained(): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        this.body.off("drain", done)
        this.body.off("close", done)
        resolve()
      }
      this.body.on("drain", done)
      this.body.on("close", done)
    })
  }
}
