/** Bytes of a socket, taken in the pieces that a protocol is made of. */
import type { Socket } from "node:net"
import { Transient } from "../source.ts"

export class Incoming {
  readonly #socket: Socket
  #chunks: Array<Buffer> = []
  #length = 0
  #waiting:
    | { readonly count: number; readonly resolve: (bytes: Buffer) => void; readonly reject: (e: Error) => void }
    | undefined
  #ended: Error | undefined

  constructor(socket: Socket) {
    this.#socket = socket
    socket.on("data", this.#push)
    socket.on("close", this.#end)
  }

  readonly #push = (chunk: Buffer): void => {
    this.#chunks.push(chunk)
    this.#length += chunk.length
    this.#give()
  }

  readonly #end = (): void => {
    this.#ended = new Transient("its server dropped the connection")
    this.#waiting?.reject(this.#ended)
    this.#waiting = undefined
  }

  #give(): void {
    const waiting = this.#waiting
    if (waiting === undefined || this.#length < waiting.count) return
    this.#waiting = undefined
    const all = Buffer.concat(this.#chunks)
    this.#chunks = [all.subarray(waiting.count)]
    this.#length = all.length - waiting.count
    waiting.resolve(all.subarray(0, waiting.count))
  }

  /** Exactly `count` bytes. @throws Transient */
  take(count: number): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      this.#waiting = { count, resolve, reject }
      this.#give()
      if (this.#waiting !== undefined && this.#ended !== undefined) {
        this.#waiting = undefined
        reject(this.#ended)
      }
    })
  }

  /** Hands the socket over; answers what came and was not taken. */
  release(): Buffer {
    this.#socket.off("data", this.#push)
    this.#socket.off("close", this.#end)
    return Buffer.concat(this.#chunks)
  }
}
