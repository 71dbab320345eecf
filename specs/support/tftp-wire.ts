/**
 * A transfer and a receiver with a network between them that loses, doubles and delays, in a time of its own: the same seed is the same run.
 *
 * **Details** Both ends are the state machines alone, so nothing here waits. Every packet goes through its bytes.
 */
import { dataPacket, decode, encode, type Packet, type TftpOption, type Unknown } from "../../adapters/tftp/packet.ts"
import { receive, receiver } from "../../adapters/tftp/receiver.ts"
import { type Outcome, Transfer, type TransferLimits } from "../../adapters/tftp/transfer.ts"
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
  const carry = (bytes: Buffer, deliver: (packet: Packet) => void) => {
    const { random, loss, doubling, jitter } = network
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
  const count = (type: string): void => {
    sent[type] = (sent[type] ?? 0) + 1
  }
  const transfer = new Transfer(options, file.length, bounds, {
    block(blockNumber, bytes, from, to) {
      count("DATA")
      blockNumbers.push(blockNumber)
      carry(dataPacket(blockNumber, bytes, from, to), toClient)
    },
    packet(packet) {
      count(packet.type)
      carry(encode(packet), toClient)
    },
    read(offset, length) {
      reads.push([offset, length])
      transfer.bytes(file.subarray(offset, offset + length), now)
    },
    end(how) {
      outcome = how
    },
  })
  let timeAt = Number.POSITIVE_INFINITY
  /** A moment that has been put off since asks for the next one. */
  const timeDue = (): void => {
    if (transfer.deadline >= timeAt) return
    const moment = transfer.deadline
    timeAt = moment
    at(moment, () => {
      if (timeAt === moment) timeAt = Number.POSITIVE_INFINITY
      transfer.time(now)
      timeDue()
    })
  }
  const give = (packet: Packet | Unknown): void => {
    transfer.packet(packet, now)
    timeDue()
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
        if (last !== undefined) carry(encode(last), give)
        heard = now
      }
      watch()
    })
  const toClient = (packet: Packet): void => {
    if (whole) {
      // Dallying (RFC 1350 §6): the last ACK may have been lost.
      if (packet.type === "DATA" && last !== undefined) carry(encode(last), give)
      return
    }
    const [next, answer, received] = receive(state, packet)
    state = next
    heard = now
    if (received.type === "refused") throw new Error(`the client was refused: ${received.message}`)
    if (received.data !== undefined) parts.push(received.data)
    whole = received.type === "whole"
    if (answer !== undefined) carry(encode((last = answer)), give)
  }

  transfer.begin(now)
  timeDue()
  watch()
  for (let n = 0; queue.length > 0 && outcome === undefined; n++) {
    if (n > happeningsMax) throw new Error("the exchange does not end")
    const next = queue.shift()!
    now = next.at
    next.run()
  }
  return { bytes: Buffer.concat(parts), whole, outcome, sent, blockNumbers, reads }
}
