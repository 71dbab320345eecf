/**
 * One transfer that runs: its own socket, whose port is the server's transfer identifier (RFC 1350 §4), around the state machine.
 *
 * **Details** A packet from anyone but the client is answered ERROR 5 and changes nothing. Steps run one after the other, so that the
 * file is read once at a time.
 */
import { limits } from "../../core/limits.ts"
import type { BootPeer } from "../../core/runtime/boot-files.ts"
import type { OpenedFile } from "../../core/runtime/held-file.ts"
import { decode, ERROR_CODE, encode, encodeData, type Packet, type TftpOption } from "./packet.ts"
import type { OpenTransferSocket, TransferSocket } from "./sockets.ts"
import {
  begin,
  type Effect,
  type Input,
  type Outcome,
  type Step,
  step,
  type Transfer,
  type TransferLimits,
} from "./transfer.ts"

/** Time, as it comes in: milliseconds that never go back, and a call at a later one. */
export interface Clock {
  now(): number
  later(run: () => void, millis: number): () => void
}

export interface RunningInput {
  /** Where the transfer's socket is bound. */
  readonly address: string
  readonly peer: BootPeer
  readonly file: OpenedFile
  readonly options: ReadonlyArray<TftpOption>
  readonly bounds: TransferLimits
  readonly clock: Clock
  readonly open: OpenTransferSocket
  readonly started: (transfer: Transfer) => void
  /** Called once. */
  readonly ended: (outcome: Outcome) => void
}

/** For a block that is copied on its way out: a fresh buffer for each would keep the collector busy. */
const scratch = Buffer.allocUnsafeSlow(limits.tftpBlksizeMax + 4)

export class RunningTransfer {
  readonly #input: RunningInput
  readonly #socket: TransferSocket
  #transfer: Transfer | undefined
  #cancel: () => void = () => {}
  /** When the clock calls; a step that only puts it off leaves it, and the call asks for the next one. */
  #callsAt = Number.POSITIVE_INFINITY
  #closed = false

  constructor(input: RunningInput) {
    this.#input = input
    this.#socket = input.open(input.address)
    this.#socket.start({
      bound: () => this.#begin(),
      message: (bytes, from) => this.#receive(bytes, from),
      failed: (message) => this.#end({ type: "failed", message }),
    })
  }

  /** Ends it, and tells the client. */
  stop(): void {
    this.#step({ type: "stop" })
    this.#end({ type: "stopped", message: "the server is stopping" })
  }

  /** Its client asked again. */
  askedAgain(): void {
    this.#step({ type: "request" })
  }

  /** Ends it without a word: the client has a new transfer and would take an ERROR to be about that. */
  abandon(): void {
    this.#end({ type: "stopped", message: "the client began anew" })
  }

  #begin(): void {
    if (this.#closed) return
    const { options, file, bounds, clock, started } = this.#input
    const first = begin(options, file.sizeBytes, bounds, clock.now())
    started(first[0])
    this.#follow(first)
  }

  #receive(bytes: Uint8Array, from: BootPeer): void {
    const { peer } = this.#input
    const packet = decode(bytes)
    if (from.address === peer.address && from.port === peer.port) this.#step({ type: "packet", packet })
    // Errors are never answered with errors: two strangers would go on for ever.
    else if (packet.type !== "ERROR" && packet.type !== "unknown")
      this.#send(
        encode({ type: "ERROR", code: ERROR_CODE.unknownTransferId, message: "this transfer is not yours" }),
        from,
      )
  }

  #step(input: Input): void {
    if (this.#closed || this.#transfer === undefined) return
    this.#follow(step(this.#transfer, input, this.#input.clock.now()))
  }

  #follow([transfer, packets, effect]: Step): void {
    this.#transfer = transfer
    for (const packet of packets) this.#send(this.#bytesOf(packet), this.#input.peer)
    if (effect.type === "read") this.#read(effect)
    else if (effect.type === "end") this.#end(effect.outcome)
    else if (effect.type === "wait" && effect.until < this.#callsAt) this.#callAt(effect.until)
  }

  #callAt(moment: number): void {
    const { clock } = this.#input
    this.#cancel()
    this.#callsAt = moment
    const call = () => {
      this.#callsAt = Number.POSITIVE_INFINITY
      this.#step({ type: "time" })
    }
    this.#cancel = clock.later(call, Math.max(0, moment - clock.now()))
  }

  #read({ offset, length, least }: Effect & { readonly type: "read" }): void {
    const bytes = this.#input.file.readNow?.(offset, least)
    if (bytes === undefined) void this.#readLater(offset, length)
    else this.#step({ type: "bytes", bytes })
  }

  async #readLater(offset: number, length: number): Promise<void> {
    let input: Input
    try {
      input = { type: "bytes", bytes: await this.#input.file.read(offset, length) }
    } catch (e) {
      input = { type: "unreadable", message: reasonOf(e) }
    }
    this.#step(input)
  }

  #bytesOf(packet: Packet): Buffer {
    return packet.type === "DATA" && this.#socket.copies ? encodeData(packet, scratch) : encode(packet)
  }

  #send(bytes: Buffer, to: BootPeer): void {
    if (!this.#closed) this.#socket.send(bytes, to)
  }

  #end(outcome: Outcome): void {
    if (this.#closed) return
    this.#closed = true
    this.#cancel()
    this.#socket.close()
    void this.#input.file.close().catch(() => {})
    this.#input.ended(outcome)
  }
}

/** Words for the client and the log; a path of this machine is not the client's business. */
const reasonOf = (e: unknown): string => {
  const { code, message, name } = e as NodeJS.ErrnoException
  return name === "FileChanged" ? message : `the file cannot be read (${code ?? "unknown"})`
}
