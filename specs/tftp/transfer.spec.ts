/** A transfer without a socket: every boundary of blocks and windows, lost and doubled packets by seed, and what time does. */
import { describe, expect, it } from "vitest"
import type { TftpOption } from "../../adapters/tftp/packet.ts"
import { type Outcome, Transfer, type TransferLimits } from "../../adapters/tftp/transfer.ts"
import { patterned, random } from "../support/random.ts"
import { bounds, exchange, type Network } from "../support/tftp-wire.ts"

const perfect = (): Network => ({ random: random(1), loss: 0, doubling: 0, jitter: 0 })

/** A transfer whose file is read as soon as that is asked for, unless it has none. */
class Driven {
  readonly transfer: Transfer
  outcome: Outcome | undefined
  /** What was sent since the last step began: the block number of DATA with its length, else the type. */
  said: ReadonlyArray<string> = []
  constructor(
    file: Buffer,
    options: ReadonlyArray<TftpOption> = [],
    limits: Partial<TransferLimits> = {},
    unread = false,
  ) {
    const says = (text: string) => void (this.said = [...this.said, text])
    this.transfer = new Transfer(
      options,
      file.length,
      { ...bounds, ...limits },
      {
        block: (blockNumber, _, from, to) => says(`${blockNumber}+${to - from}`),
        packet: (p) => says(p.type === "ERROR" ? `ERROR ${p.code}` : p.type),
        read: (offset, length) => unread || this.transfer.bytes(file.subarray(offset, offset + length), this.#now),
        end: (outcome) => void (this.outcome = outcome),
      },
    )
    this.transfer.begin(0)
  }
  #now = 0
  #step(now: number, give: () => void): this {
    this.#now = now
    this.said = []
    give()
    return this
  }
  ack(blockNumber: number, now = 0): this {
    return this.#step(now, () => this.transfer.ack(blockNumber, now))
  }
  packet(packet: Parameters<Transfer["packet"]>[0], now = 0): this {
    return this.#step(now, () => this.transfer.packet(packet, now))
  }
  request(now: number): this {
    return this.#step(now, () => this.transfer.request(now))
  }
  time(now: number): this {
    return this.#step(now, () => this.transfer.time(now))
  }
  /** When time is due. */
  get until(): number {
    return this.transfer.deadline
  }
}

describe("blocks", () => {
  it.each([
    [0, 512, ["1+0"]],
    [1, 512, ["1+1"]],
    [511, 512, ["1+511"]],
    [512, 512, ["1+512", "2+0"]],
    [513, 512, ["1+512", "2+1"]],
    [1024, 512, ["1+512", "2+512", "3+0"]],
    [8, 8, ["1+8", "2+0"]],
    [65_463, 65_464, ["1+65463"]],
    [65_464, 65_464, ["1+65464", "2+0"]],
    [65_465, 65_464, ["1+65464", "2+1"]],
  ])("of %i bytes in blocks of %i end with the first short one", (sizeBytes, blksize, blocks) => {
    const transfer = new Driven(Buffer.alloc(sizeBytes), blksize === 512 ? [] : [["blksize", String(blksize)]])
    if (blksize !== 512) transfer.ack(0)
    const said = [...transfer.said]
    for (let n = 1; n < blocks.length; n++) said.push(...transfer.ack(n).said)
    expect(said).toEqual(blocks)
    expect(transfer.ack(blocks.length).outcome).toEqual({ type: "done", sizeBytes })
    expect([transfer.ack(blocks.length).said, transfer.until]).toEqual([[], Number.POSITIVE_INFINITY])
  })

  it.each([
    ["512", 1],
    ["512", 64],
    ["8", 7],
  ])("of %s bytes, %i at a time, come whole from a network without faults, each sent once", (blksize, window) => {
    const file = patterned(64 * 512 * 3 + 5, 3)
    const result = exchange(
      file,
      [
        ["blksize", blksize],
        ["windowsize", String(window)],
      ],
      perfect(),
    )
    expect([result.whole, result.bytes.equals(file), result.outcome?.type]).toEqual([true, true, "done"])
    expect(result.sent).toEqual({ OACK: 1, DATA: Math.floor(file.length / Number(blksize)) + 1 })
  })

  it.each([1, 64])("go on with 0 after 65535, %i at a time", (window) => {
    const file = patterned(8 * 65_600 + 3, 4)
    const result = exchange(
      file,
      [
        ["blksize", "8"],
        ["windowsize", String(window)],
      ],
      perfect(),
    )
    expect(result.bytes.equals(file)).toBe(true)
    expect(result.blockNumbers.slice(65_533, 65_538)).toEqual([65_534, 65_535, 0, 1, 2])
    expect(result.blockNumbers).toHaveLength(65_601)
  })

  it("are read many at once, and no byte past the end", () => {
    const { reads } = exchange(Buffer.alloc(100_000), [], perfect())
    expect(reads).toEqual([
      [0, 65_536],
      [65_536, 34_464],
    ])
  })
})

describe("a window", () => {
  const windowed = (sizeBytes = 512 * 10) => new Driven(Buffer.alloc(sizeBytes), [["windowsize", "4"]]).ack(0)

  it("is sent at once and followed by the next when its last block is acknowledged", () => {
    const transfer = windowed()
    expect(transfer.said).toEqual(["1+512", "2+512", "3+512", "4+512"])
    expect(transfer.ack(4).said).toEqual(["5+512", "6+512", "7+512", "8+512"])
    expect(transfer.ack(8).said).toEqual(["9+512", "10+512", "11+0"])
    expect(transfer.ack(11).outcome).toMatchObject({ type: "done" })
  })
  it("begins after the block that is acknowledged, where that is not its last", () => {
    expect(windowed().ack(2).said).toEqual(["3+512", "4+512", "5+512", "6+512"])
  })
  it("is not moved by an ACK of what was not sent, nor of what lies behind", () => {
    const transfer = windowed()
    expect(transfer.ack(5).said).toEqual([])
    expect(transfer.ack(65_535).said).toEqual([])
    expect(transfer.ack(4).ack(3).said).toEqual([])
  })
})

describe("an acknowledgement that comes twice", () => {
  it("sends nothing (the Sorcerer's Apprentice), whatever is doubled", () => {
    const transfer = new Driven(Buffer.alloc(2000))
    expect(transfer.ack(1).said).toEqual(["2+512"])
    expect(transfer.ack(1).said).toEqual([])
    const network: Network = { random: random(5), loss: 0, doubling: 1, jitter: 0 }
    const file = patterned(512 * 200, 5)
    const result = exchange(file, [], network)
    expect([result.bytes.equals(file), result.sent]).toEqual([true, { DATA: 201 }])
  })
  it("of the OACK does not send the first block again", () => {
    const transfer = new Driven(Buffer.alloc(2000), [["tsize", "0"]])
    expect(transfer.said).toEqual(["OACK"])
    expect(transfer.ack(1).said).toEqual([])
    expect(transfer.ack(0).said).toEqual(["1+512"])
    expect(transfer.ack(0).said).toEqual([])
  })
})

describe("a request that comes again", () => {
  it("is answered again at once, as long as nothing came of the answer", () => {
    const agreed = new Driven(Buffer.alloc(2000), [["tsize", "0"]])
    expect([agreed.request(150).said, agreed.until]).toEqual([["OACK"], 1000])
    expect(agreed.request(400).said).toEqual(["OACK"])
    expect(agreed.ack(0, 401).said).toEqual(["1+512"])
    // Which of the three was answered, nobody knows (Karn).
    expect(agreed.until).toBe(1401)
    expect(agreed.request(900).said).toEqual([])
    const plain = new Driven(Buffer.alloc(2000))
    expect(plain.request(150).said).toEqual(["1+512"])
    expect(plain.ack(1, 160).said).toEqual(["2+512"])
    expect(plain.request(900).said).toEqual([])
  })
  it("just after the first is that one doubled, and brings nothing", () => {
    const transfer = new Driven(Buffer.alloc(2000), [["tsize", "0"]])
    expect([transfer.request(19).said, transfer.until]).toEqual([[], 1000])
  })
  it("is answered no more often than silence is, whoever asks", () => {
    const transfer = new Driven(Buffer.alloc(2000))
    const said = Array.from({ length: 20 }, (_, n) => transfer.request(100 + n).said.length)
    expect(said.filter((packets) => packets > 0)).toHaveLength(bounds.retriesMax)
  })
  it("does not make a client that says nothing else wait for longer", () => {
    const transfer = new Driven(Buffer.alloc(2000))
    transfer.request(500)
    expect(transfer.time(1000).said).toEqual(["1+512"])
  })
})

describe("silence", () => {
  const timesOf = (transfer: Driven): ReadonlyArray<number> => {
    const times: Array<number> = []
    for (let n = 0; n < 20 && transfer.outcome === undefined; n++) {
      times.push(transfer.until)
      transfer.time(transfer.until)
    }
    return times
  }

  it("is broken later each time, and ends the transfer after five retries, with the last block in its outcome", () => {
    const transfer = new Driven(Buffer.alloc(2000))
    expect(timesOf(transfer)).toEqual([1000, 3000, 7000, 15_000, 23_000, 31_000])
    expect(transfer.said).toEqual(["ERROR 0"])
    expect(transfer.outcome).toEqual({ type: "timeout", lastBlock: 0, blocks: 4, seconds: 31 })
  })
  it("after the last window is no failure where the client had answered before: what it lacks is not known", () => {
    const last = new Driven(Buffer.alloc(2000)).ack(1, 20).ack(2, 40).ack(3, 60)
    timesOf(last)
    expect(last.said).toEqual(["ERROR 0"])
    expect(last.outcome).toEqual({ type: "unconfirmed", sizeBytes: 2000, seconds: 37 })
    const agreed = new Driven(Buffer.alloc(100), [["tsize", "0"]]).ack(0, 20)
    timesOf(agreed)
    expect(agreed.outcome).toMatchObject({ type: "unconfirmed", sizeBytes: 100 })
    const never = new Driven(Buffer.alloc(100))
    timesOf(never)
    expect(never.outcome).toMatchObject({ type: "timeout", lastBlock: 0, blocks: 1 })
    const unopened = new Driven(Buffer.alloc(100), [["tsize", "0"]])
    timesOf(unopened)
    expect(unopened.outcome).toMatchObject({ type: "timeout", lastBlock: 0, blocks: 1 })
  })
  it("of a client that was fast is broken soon (RFC 8985 §7.2), then later, and it is given half a minute all the same", () => {
    const transfer = new Driven(Buffer.alloc(2000)).ack(1, 20)
    const waits = [60, 260, 660, 1460, 3060, 6260, 12_660, 20_660, 28_660, 36_660]
    expect(timesOf(transfer)).toEqual(waits.map((millis) => 20 + millis))
    expect(transfer.outcome).toMatchObject({ type: "timeout", lastBlock: 1, seconds: 37 })
  })
  it("is measured against the answers so far (RFC 6298 §2), but for those to what was sent twice (Karn)", () => {
    const transfer = new Driven(Buffer.alloc(5000)).ack(1, 400)
    // SRTT 400, RTTVAR 200
    expect(transfer.until).toBe(1600)
    // SRTT 0.875 · 400 + 0.125 · 80, RTTVAR 0.75 · 200 + 0.25 · 320
    expect(transfer.ack(2, 480).until).toBe(480 + 360 + 4 * 230)
    transfer.time(1760)
    expect(transfer.ack(3, 1761).until).toBe(1761 + 1280)
  })
  it("where a timeout was agreed, is broken once as soon as the answers teach, and then in its rhythm", () => {
    const fast = new Driven(Buffer.alloc(2000), [["timeout", "5"]]).ack(0, 10).ack(1, 20)
    expect(timesOf(fast)).toEqual([45, 5045, 10_045, 15_045, 20_045, 25_045])
    const slow = new Driven(Buffer.alloc(2000), [["timeout", "1"]]).ack(0, 900)
    expect(timesOf(slow).slice(0, 2)).toEqual([1900, 2900])
  })
  it("of a slow line is given time beyond a second, and eight at most", () => {
    expect(new Driven(Buffer.alloc(2000)).ack(1, 900).until).toBe(900 + 2700)
    const slow = new Driven(Buffer.alloc(2000), [["windowsize", "1"]]).ack(0, 900).ack(1, 3500)
    expect(slow.outcome).toBe(undefined)
    expect(slow.ack(2, 9000).until).toBe(17_000)
  })
  it("is broken in the rhythm that was agreed, and a long one ends sooner", () => {
    expect(timesOf(new Driven(Buffer.alloc(1), [["timeout", "2"]]))).toEqual([2000, 4000, 6000, 8000, 10_000, 12_000])
    expect(timesOf(new Driven(Buffer.alloc(1), [["timeout", "255"]]))).toEqual([255_000, 510_000])
  })
  it("sends the whole window again, and not before its time", () => {
    const transfer = new Driven(Buffer.alloc(2000), [["windowsize", "2"]]).ack(0, 10)
    expect(transfer.time(109).said).toEqual([])
    expect(transfer.time(110).said).toEqual(["1+512", "2+512"])
  })
  it("counts from anew with every block that gets through", () => {
    const transfer = new Driven(Buffer.alloc(2000)).time(1000).ack(1, 1500)
    expect(transfer.until).toBe(2500)
  })
})

describe("an end before the last block", () => {
  it("comes with the client's ERROR, which is not answered", () => {
    const refused = new Driven(Buffer.alloc(1), [["tsize", "0"]])
    refused.packet({ type: "ERROR", code: 8, message: "no" })
    expect([refused.said, refused.outcome]).toEqual([[], { type: "aborted", code: 8, message: "no" }])
  })
  it("comes with a packet that a reader never sends, but not with noise", () => {
    const transfer = new Driven(Buffer.alloc(1))
    transfer.packet({ type: "unknown", opcode: 99, why: "noise" }, 5)
    expect([transfer.said, transfer.until]).toEqual([[], 1000])
    transfer.packet({ type: "DATA", blockNumber: 1, data: Buffer.alloc(1) })
    expect([transfer.said, transfer.outcome]).toMatchObject([["ERROR 4"], { type: "failed" }])
  })
  it("comes when the file is shorter than it was, cannot be read, or the server stops", () => {
    const reading = () => new Driven(Buffer.alloc(1000), [], {}, true)
    const short = reading()
    short.transfer.bytes(Buffer.alloc(511), 0)
    expect(short.outcome).toEqual({ type: "failed", message: "the file changed while it was sent" })
    const unreadable = reading()
    unreadable.transfer.unreadable("why")
    expect([unreadable.said, unreadable.outcome]).toEqual([["ERROR 0"], { type: "failed", message: "why" }])
    const stopped = reading()
    stopped.transfer.stop()
    expect([stopped.said, stopped.outcome?.type]).toEqual([["ERROR 0"], "stopped"])
    // What was read meanwhile comes too late.
    stopped.transfer.bytes(Buffer.alloc(1000), 0)
    expect(stopped.said).toEqual(["ERROR 0"])
  })
})

const seeds = process.env.IMAGELINK_SEED
  ? [Number(process.env.IMAGELINK_SEED)]
  : Array.from({ length: Number(process.env.IMAGELINK_SEEDS ?? 40) }, (_, i) => i + 1)

describe("a network that loses, doubles and delays", () => {
  it("delivers every byte, or the transfer says that it did not", () => {
    let whole = 0
    for (const seed of seeds) {
      const r = random(seed)
      const window = r.pick([1, 1, 2, 5, 64])
      const network: Network = {
        random: r,
        loss: r.int(15) / 100,
        doubling: r.int(20) / 100,
        jitter: r.pick([0, 3, 700]),
      }
      const file = patterned(r.pick([0, 511, 512, 513, 30_000, 51_200]), seed)
      const options: ReadonlyArray<TftpOption> = [["windowsize", String(window)]]
      const result = exchange(file, window === 1 && r.chance(0.5) ? [] : options, network)
      const what = `IMAGELINK_SEED=${seed} window ${window}: ${JSON.stringify(result.outcome)}`
      if (result.outcome?.type === "done") expect(result.whole, what).toBe(true)
      if (result.whole) expect(result.bytes.equals(file), what).toBe(true)
      else expect(["timeout", "unconfirmed"], what).toContain(result.outcome?.type)
      if (result.whole) whole++
    }
    if (seeds.length >= 40) expect(whole, "most come whole").toBeGreaterThanOrEqual(Math.ceil(seeds.length * 0.8))
  })
})
