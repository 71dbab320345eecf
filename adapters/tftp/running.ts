/**
 * One transfer that runs: its own socket, whose port is the server's transfer identifier (RFC 1350 §4), around the state machine.
 *
 * **Details** A packet from anyone but the client is answered ERROR 5 and changes nothing. Steps run one after the other, so that the
 * file is read once at a time.
 */
import type { BootPeer } from "../../core/runtime/boot-files.ts"
import type { OpenedFile } from "../../core/runtime/held-file.ts"
import type { Clock } from "./clock.ts"
import { ackedBlock, decode, ERROR_CODE, encode, type Packet, type TftpOption, type Unknown } from "./packet.ts"
import type { OpenTransferSocket, TransferSocket } from "./sockets.ts"
import { type Outcome, Transfer, type TransferLimits, type TransferOutput } from "./transfer.ts"

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

export class RunningTransfer {
  readonly #input: RunningInput
  readonly #socket: TransferSocket
  readonly #transfer: Transfer
  #cancel: () => void = () => {}
  /** When the clock calls; a step that only puts it off leaves it, and the call asks for the next one. */
  #callsAt = Number.POSITIVE_INFINITY
  #begun = false
  #closed = false

  constructor(input: RunningInput) {
    const { options, file, bounds, peer } = input
    this.#input = input
    this.#socket = input.open(input.address)
    const out: TransferOutput = {
      block: (blockNumber, bytes, from, to) => this.#socket.sendBlock(blockNumber, bytes, from, to, peer),
      packet: (packet) => this.#socket.send(encode(packet), peer),
      read: (offset, length, least) => this.#read(offset, length, least),
      end: (outcome) => this.#end(outcome),
    }
    this.#transfer = new Transfer(options, file.sizeBytes, bounds, out)
    this.#socket.start({
      bound: () => this.#begin(),
      message: (bytes, from) => this.#receive(bytes, from),
      failed: (message) => this.#end({ type: "failed", message }),
    })
  }

  /** Ends it, and tells the client. */
  stop(): void {
    if (this.#begun) this.#transfer.stop()
    else this.#end({ type: "stopped", message: "the server is stopping" })
  }

  /** Its client asked again. */
  askedAgain(): void {
    if (this.#closed || !this.#begun) return
    this.#transfer.request(this.#input.clock.now())
    this.#callInTime()
  }

  /** Ends it without a word: the client has a new transfer and would take an ERROR to be about that. */
  abandon(): void {
    this.#end({ type: "stopped", message: "the client began anew" })
  }

  #begin(): void {
    if (this.#closed) return
    this.#begun = true
    this.#input.started(this.#transfer)
    this.#transfer.begin(this.#input.clock.now())
    this.#callInTime()
  }

  #receive(bytes: Uint8Array, from: BootPeer): void {
    if (this.#closed || !this.#begun) return
    const { peer } = this.#input
    if (from.port === peer.port && from.address === peer.address) this.#take(bytes)
    else this.#turnAway(decode(bytes), from)
  }

  #take(bytes: Uint8Array): void {
    const now = this.#input.clock.now()
    const acked = ackedBlock(bytes)
    if (acked >= 0) this.#transfer.ack(acked, now)
    else this.#transfer.packet(decode(bytes), now)
    this.#callInTime()
  }

  /** Errors are never answered with errors: two strangers would go on for ever. */
  #turnAway({ type }: Packet | Unknown, stranger: BootPeer): void {
    if (type === "ERROR" || type === "unknown") return
    const message = "this transfer is not yours"
    this.#socket.send(encode({ type: "ERROR", code: ERROR_CODE.unknownTransferId, message }), stranger)
  }

  #callInTime(): void {
    if (this.#closed || this.#transfer.deadline >= this.#callsAt) return
    const { clock } = this.#input
    this.#cancel()
    this.#callsAt = this.#transfer.deadline
    const call = () => {
      this.#callsAt = Number.POSITIVE_INFINITY
      this.#transfer.time(clock.now())
      this.#callInTime()
    }
    this.#cancel = clock.later(call, Math.max(0, this.#callsAt - clock.now()))
  }

  #read(offset: number, length: number, least: number): void {
    const bytes = this.#input.file.readNow?.(offset, least)
    if (bytes === undefined) void this.#readLater(offset, length)
    else this.#transfer.bytes(bytes, this.#input.clock.now())
  }

  async #readLater(offset: number, length: number): Promise<void> {
    const { file, clock } = this.#input
    const found = await file.read(offset, length).catch(reasonOf)
    if (this.#closed) return
    if (typeof found === "string") this.#transfer.unreadable(found)
    else this.#transfer.bytes(found, clock.now())
    this.#callInTime()
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
