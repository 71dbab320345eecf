/**
 * A transfer and a receiver with a network between them that loses, doubles and delays, in a time of its own: the same seed is the same run.
 *
 * **Details** Both ends are the pure state machines, so nothing here waits. Every packet goes through its bytes.
 */
import { decode, encode, type Packet, type TftpOption } from "../../adapters/tftp/packet.ts"
import { receive, receiver } from "../../adapters/tftp/receiver.ts"
import { begin, type Input, type Outcome, type Step, step, type TransferLimits } from "../../adapters/tftp/transfer.ts"
import type { Random } from "./random.ts"

export const bounds: TransferLimits = {
  blksizeMax: 65_464,
  windowBlocksMax: 64,
  windowBytesMax: 131_072,
  readBytes: 65_536,
  timeoutMillis: 1000,
  timeoutMillisMin: 100,
  probeMillisMin: 20,
  timeoutMillisMax: 8000,
  retriesMax: 5,
  silenceMillisMin: 30_000,
  silenceMillisMax: 60_000,
}

export interface Network {
  readonly random: Random
  readonly loss: number
  readonly doubling: number
  /** Up to this many milliseconds later than others, so packets overtake each other. */
  readonly jitter: number
}

export interface Exchange {
  readonly bytes: Buffer
  readonly whole: boolean
  readonly outcome: Outcome | undefined
  /** Packets that the server sent, by type. */
  readonly sent: Readonly<Record<string, number>>
  /** Block numbers of DATA as the server sent them. */
  readonly blockNumbers: ReadonlyArray<number>
  readonly reads: ReadonlyArray<readonly [offset: number, length: number]>
}

interface Happening {
  readonly at: number
  readonly order: number
  readonly run: () => void
}

const clientPatience = 1500
const happeningsMax = 1_000_000

export const exchange = (file: Buffer, options: ReadonlyArray<TftpOption>, network: Network): Exchange => {
  let now = 0
  let order = 0
  const queue: Array<Happening> = []
  const at = (time: number, run: () => void) => {
    let i = queue.length
    while (i > 0 && queue[i - 1]!.at > time) i--
    queue.splice(i, 0, { at: time, order: order++, run })
  }
  const carry = (packet: Packet, deliver: (packet: Packet) => void) => {
    const { random, loss, doubling, jitter } = network
    const bytes = encode(packet)
    const copies = random.chance(loss) ? 0 : random.chance(doubling) ? 2 : 1
    for (let n = 0; n < copies; n++)
      at(now + 1 + random.int(jitter + 1), () => {
        const arrived = decode(bytes)
        if (arrived.type === "unknown") throw new Error("a packet did not survive its bytes")
        deliver(arrived)
      })
  }

  const sent: Record<string, number> = {}
  const blockNumbers: Array<number> = []
  const reads: Array<readonly [number, number]> = []
  let outcome: Outcome | undefined
  let transfer: Step[0]
  const follow = ([next, packets, effect]: Step): void => {
    transfer = next
    for (const packet of packets) {
      sent[packet.type] = (sent[packet.type] ?? 0) + 1
      if (packet.type === "DATA") blockNumbers.push(packet.blockNumber)
      carry(packet, toClient)
    }
    if (effect.type === "end") outcome = effect.outcome
    else if (effect.type === "wait") at(effect.until, () => give({ type: "time" }, true))
    else if (effect.type === "read") {
      reads.push([effect.offset, effect.length])
      give({ type: "bytes", bytes: file.subarray(effect.offset, effect.offset + effect.length) })
    }
  }
  /** A moment that has been put off since is not given again: its step would only ask to wait. */
  const give = (input: Input, byTime = false): void => {
    if (byTime && (transfer.phase === "ended" || now < transfer.deadline)) return
    follow(step(transfer, input, now))
  }

  let state = receiver(options)
  const parts: Array<Uint8Array> = []
  let whole = false
  let last: Packet | undefined
  let heard = 0
  const watch = (): void =>
    at(heard + clientPatience, () => {
      if (whole) return
      if (now >= heard + clientPatience) {
        if (last !== undefined) carry(last, (packet) => give({ type: "packet", packet }))
        heard = now
      }
      watch()
    })
  const toClient = (packet: Packet): void => {
    if (whole) {
      // Dallying (RFC 1350 §6): the last ACK may have been lost.
      if (packet.type === "DATA" && last !== undefined) carry(last, (p) => give({ type: "packet", packet: p }))
      return
    }
    const [next, answer, received] = receive(state, packet)
    state = next
    heard = now
    if (received.type === "refused") throw new Error(`the client was refused: ${received.message}`)
    if (received.data !== undefined) parts.push(received.data)
    whole = received.type === "whole"
    if (answer !== undefined) carry((last = answer), (p) => give({ type: "packet", packet: p }))
  }

  follow(begin(options, file.length, bounds, now))
  watch()
  for (let n = 0; queue.length > 0 && outcome === undefined; n++) {
    if (n > happeningsMax) throw new Error("the exchange does not end")
    const next = queue.shift()!
    now = next.at
    next.run()
  }
  return { bytes: Buffer.concat(parts), whole, outcome, sent, blockNumbers, reads }
}
