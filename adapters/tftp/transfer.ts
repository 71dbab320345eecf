/**
 * One file on its way to one client, as a state machine without a socket, a timer or a file: time and bytes come in, and what is to be done goes out to a port.
 *
 * | phase | waits for | goes on when |
 * |---|---|---|
 * | oack | ACK 0 (RFC 2347) | it comes: the first bytes are read |
 * | reading | bytes of the file | they come: a window is sent |
 * | sending | ACK of the window's last block (RFC 1350 §2, RFC 7440 §4) | it comes: the next window; of an earlier block: from the one after it |
 * | ended | nothing | |
 *
 * **Details** Blocks are counted from 1 without end; the wire has the low 16 bits, so that after 65535 comes 0. The last block is the first one
 * shorter than blksize: empty where the size is a multiple of it (RFC 1350 §6). A duplicate ACK sends nothing, because that would double
 * every packet from there on (RFC 1123 §4.2.3.1, the Sorcerer's Apprentice): only time sends again, each time later, up to a bound. How long it waits
 * first is learnt from the answers so far, as TCP does (RFC 6298 §2): a lost packet in a room of PCs then costs a fiftieth of a second. A timeout
 * that was agreed (RFC 2349) is the rhythm after that first time. A client that asks again has not got what answers its request: that is sent again at once.
 *
 * **Gotchas** A client that lost the first block of a window acknowledges what it acknowledged before. That is a duplicate too and waits for time.
 */
import assert from "node:assert"
import { type Agreed, type NegotiationLimits, negotiate } from "./negotiate.ts"
import { ERROR_CODE, type ErrorPacket, type OackPacket, type Packet, type TftpOption, type Unknown } from "./packet.ts"

export interface TransferLimits extends NegotiationLimits {
  /** Least that is read at once, so that small blocks do not cost a read each. */
  readonly readBytes: number
  /** Until a round trip was measured. */
  readonly timeoutMillis: number
  readonly timeoutMillisMin: number
  /** The same of the first time that a single block is sent again. */
  readonly probeMillisMin: number
  readonly timeoutMillisMax: number
  /** How often the same packets are sent again, at least. */
  readonly retriesMax: number
  /** A silence that is shorter is no end, unless a timeout was agreed. */
  readonly silenceMillisMin: number
  /** With an agreed timeout that is long, fewer retries do. */
  readonly silenceMillisMax: number
}

/** What a transfer wants done. */
export interface TransferOutput {
  /** A block of the file, which is `[from, to)` of `bytes`. */
  block(blockNumber: number, bytes: Uint8Array, from: number, to: number): void
  packet(packet: OackPacket | ErrorPacket): void
  /** Answered with `bytes` or `unreadable`, at once or later. `least` are needed now; `length`, where it is one read. */
  read(offset: number, length: number, least: number): void
  /** Nothing follows. */
  end(outcome: Outcome): void
}

export type Outcome =
  | { readonly type: "done"; readonly sizeBytes: number }
  | { readonly type: "stopped"; readonly message: string }
  | { readonly type: "aborted"; readonly code: number; readonly message: string }
  | { readonly type: "failed"; readonly message: string }
  | { readonly type: "timeout"; readonly lastBlock: number; readonly blocks: number; readonly seconds: number }
  /** Everything was sent, and of the last window no ACK came: some firmware goes on with what it has and never says so. */
  | { readonly type: "unconfirmed"; readonly sizeBytes: number; readonly seconds: number }

const nothing = new Uint8Array(0)

export class Transfer {
  readonly sizeBytes: number
  readonly agreed: Agreed
  readonly #bounds: TransferLimits
  readonly #out: TransferOutput
  /** The last block of the file. */
  readonly #lastBlock: number
  #phase: "oack" | "reading" | "sending" | "ended" = "oack"
  /** Blocks that the client has. */
  #acked = 0
  /** The last block that was sent in this window. */
  #sent = 0
  /** Bytes of the file from `#chunkAt` on. */
  #chunk: Uint8Array = nothing
  #chunkAt = 0
  #retries = 0
  /** When the packets in question were sent first. */
  #since = 0
  #deadline = Number.POSITIVE_INFINITY
  /** RFC 6298's SRTT and RTTVAR, in milliseconds, once an answer came to what was sent once: which of two was answered, nobody knows (Karn). */
  #measured = false
  #smooth = 0
  #variation = 0

  constructor(options: ReadonlyArray<TftpOption>, sizeBytes: number, bounds: TransferLimits, out: TransferOutput) {
    assert(Number.isSafeInteger(sizeBytes) && sizeBytes >= 0)
    this.sizeBytes = sizeBytes
    this.agreed = negotiate(options, sizeBytes, bounds)
    this.#bounds = bounds
    this.#out = out
    this.#lastBlock = Math.floor(sizeBytes / this.agreed.blksize) + 1
  }

  /** When `time` is due; infinity where no answer is. */
  get deadline(): number {
    return this.#deadline
  }

  /** Answers the read request: an OACK if there is something to agree on, else the first block. */
  begin(now: number): void {
    if (this.agreed.answers.length === 0) this.#nextWindow(0, now)
    else this.#sendFirst(now)
  }

  ack(blockNumber: number, now: number): void {
    const ahead = (blockNumber - this.#acked) & 0xffff
    const isAnswer = this.#phase === "oack" ? ahead === 0 : ahead > 0 && ahead <= this.#sent - this.#acked
    if (!isAnswer || this.#phase === "reading" || this.#phase === "ended") return
    const acked = this.#acked + ahead
    if (acked === this.#lastBlock) this.#end({ type: "done", sizeBytes: this.sizeBytes })
    else {
      this.#measure(now)
      this.#nextWindow(acked, now)
    }
  }

  /** Any other. */
  packet(packet: Packet | Unknown, now: number): void {
    // RFC 1350 §7: an ERROR is not acknowledged and not sent again.
    if (packet.type === "ERROR") this.#end({ type: "aborted", code: packet.code, message: packet.message })
    else if (packet.type === "ACK") this.ack(packet.blockNumber, now)
    // Noise must not end a transfer.
    else if (packet.type !== "unknown")
      this.#fail(`${packet.type} is not expected in a transfer to the client`, ERROR_CODE.illegalOperation)
  }

  bytes(bytes: Uint8Array, now: number): void {
    if (this.#phase === "ended") return
    assert(this.#phase === "reading", "bytes come only when they were asked for")
    const to = Math.min(this.#sent * this.agreed.blksize, this.sizeBytes)
    if (this.#chunkAt + bytes.length < to) this.unreadable("the file changed while it was sent")
    else {
      this.#chunk = bytes
      this.#sendWindow(now)
    }
  }

  unreadable(message: string): void {
    this.#fail(message, ERROR_CODE.notDefined)
  }

  /** To be called at the deadline, or sooner. */
  time(now: number): void {
    if (now < this.#deadline) return
    const { retriesMax, silenceMillisMin, silenceMillisMax } = this.#bounds
    const silence = now - this.#since
    const enough = this.agreed.timeoutSeconds !== undefined || silence >= silenceMillisMin
    if ((this.#retries >= retriesMax && enough) || (this.#retries > 0 && silence >= silenceMillisMax)) {
      const last = errorPacket(ERROR_CODE.notDefined, "no answer from the client")
      this.#end(this.#silentEnd(Math.round(silence / 1000)), last)
    } else {
      this.#retries++
      this.#deadline = now + this.#patience()
      this.#sendOutstanding()
    }
  }

  /**
   * The client's request came again. A doubled one is none: the answer to the first is on its way. Whoever asks in another's name has it sent no more often than time
   * would send it.
   */
  request(now: number): void {
    const first = this.#acked === 0 && this.agreed.answers.length === 0
    const unanswered = this.#phase === "oack" || (this.#phase === "sending" && first)
    const { retriesMax, probeMillisMin } = this.#bounds
    if (!unanswered || this.#retries >= retriesMax || now - this.#since < probeMillisMin) return
    this.#retries++
    this.#sendOutstanding()
  }

  stop(): void {
    const message = "the server is stopping"
    this.#end({ type: "stopped", message }, errorPacket(ERROR_CODE.notDefined, message))
  }

  /** What an answer tells of the way (RFC 6298 §2.2, §2.3). */
  #measure(now: number): void {
    if (this.#retries > 0) return
    const took = now - this.#since
    if (this.#measured) {
      this.#variation = 0.75 * this.#variation + 0.25 * Math.abs(this.#smooth - took)
      this.#smooth = 0.875 * this.#smooth + 0.125 * took
      return
    }
    this.#measured = true
    this.#smooth = took
    this.#variation = took / 2
  }

  /** Sends the window after `acked`, from the bytes at hand if they hold it whole. */
  #nextWindow(acked: number, now: number): void {
    const { blksize, windowsize } = this.agreed
    this.#acked = acked
    this.#sent = Math.min(acked + windowsize, this.#lastBlock)
    const from = acked * blksize
    const to = Math.min(this.#sent * blksize, this.sizeBytes)
    const isHere = from >= this.#chunkAt && to <= this.#chunkAt + this.#chunk.length
    if (isHere) this.#sendWindow(now)
    else this.#read(from, to - from)
  }

  #read(from: number, least: number): void {
    this.#phase = "reading"
    this.#deadline = Number.POSITIVE_INFINITY
    this.#chunkAt = from
    this.#chunk = nothing
    this.#out.read(from, Math.min(Math.max(least, this.#bounds.readBytes), this.sizeBytes - from), least)
  }

  #sendWindow(now: number): void {
    this.#phase = "sending"
    this.#sendFirst(now)
  }

  /** What was not sent before. */
  #sendFirst(now: number): void {
    this.#retries = 0
    this.#since = now
    this.#deadline = now + this.#firstPatience()
    this.#sendOutstanding()
  }

  /** What waits for its answer. */
  #sendOutstanding(): void {
    if (this.#phase === "oack") this.#out.packet({ type: "OACK", options: this.agreed.answers })
    else this.#sendBlocks()
  }

  #sendBlocks(): void {
    const { blksize } = this.agreed
    const end = this.sizeBytes - this.#chunkAt
    for (let block = this.#acked + 1; block <= this.#sent; block++) {
      const from = (block - 1) * blksize - this.#chunkAt
      this.#out.block(block & 0xffff, this.#chunk, from, Math.min(from + blksize, end))
    }
  }

  /** A client that never answered has nothing, whatever was sent to it. */
  #silentEnd(seconds: number): Outcome {
    const answered = this.#phase === "sending" && (this.#acked > 0 || this.agreed.answers.length > 0)
    if (answered && this.#sent === this.#lastBlock) return { type: "unconfirmed", sizeBytes: this.sizeBytes, seconds }
    return { type: "timeout", lastBlock: this.#acked, blocks: this.#lastBlock, seconds }
  }

  /** How long an answer is waited for after retries. */
  #patience(): number {
    const { timeoutSeconds } = this.agreed
    if (timeoutSeconds !== undefined) return timeoutSeconds * 1000
    const { timeoutMillisMin, timeoutMillisMax } = this.#bounds
    return Math.min(this.#learnt(timeoutMillisMin) * 2 ** this.#retries, timeoutMillisMax)
  }

  #firstPatience(): number {
    const { timeoutSeconds, windowsize } = this.agreed
    const { probeMillisMin, timeoutMillisMin, timeoutMillisMax } = this.#bounds
    // A whole window would be much to send in vain.
    const soon = this.#learnt(windowsize === 1 ? probeMillisMin : timeoutMillisMin)
    if (timeoutSeconds === undefined) return Math.min(soon, timeoutMillisMax)
    return this.#measured ? Math.min(soon, timeoutSeconds * 1000) : timeoutSeconds * 1000
  }

  #learnt(min: number): number {
    return Math.max(this.#measured ? this.#smooth + 4 * this.#variation : this.#bounds.timeoutMillis, min)
  }

  #fail(message: string, code: number): void {
    this.#end({ type: "failed", message }, errorPacket(code, message))
  }

  #end(outcome: Outcome, last?: ErrorPacket): void {
    if (this.#phase === "ended") return
    this.#phase = "ended"
    this.#deadline = Number.POSITIVE_INFINITY
    this.#chunk = nothing
    if (last !== undefined) this.#out.packet(last)
    this.#out.end(outcome)
  }
}

const errorPacket = (code: number, message: string): ErrorPacket => ({ type: "ERROR", code, message })
