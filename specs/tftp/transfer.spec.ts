/** A transfer without a socket: every boundary of blocks and windows, lost and doubled packets by seed, and what time does. */
import { describe, expect, it } from "vitest"
import type { Packet, TftpOption } from "../../adapters/tftp/packet.ts"
import { begin, type Input, type Step, step, type TransferLimits } from "../../adapters/tftp/transfer.ts"
import { patterned, random } from "../support/random.ts"
import { bounds, exchange, type Network } from "../support/tftp-wire.ts"

const perfect = (): Network => ({ random: random(1), loss: 0, doubling: 0, jitter: 0 })
const ack = (blockNumber: number): Input => ({ type: "packet", packet: { type: "ACK", blockNumber } })

/** A transfer whose file is read as soon as that is asked for. */
class Driven {
  #step: Step
  readonly #file: Buffer
  constructor(file: Buffer, options: ReadonlyArray<TftpOption> = [], limits: Partial<TransferLimits> = {}, now = 0) {
    this.#file = file
    this.#step = begin(options, file.length, { ...bounds, ...limits }, now)
    this.#fill(now)
  }
  #fill(now: number): void {
    const [transfer, , effect] = this.#step
    if (effect.type !== "read") return
    const bytes = this.#file.subarray(effect.offset, effect.offset + effect.length)
    this.#step = step(transfer, { type: "bytes", bytes }, now)
  }
  give(input: Input, now = 0): this {
    this.#step = step(this.#step[0], input, now)
    this.#fill(now)
    return this
  }
  /** What the last step sent: the block number of DATA with its length, else the type. */
  get said(): ReadonlyArray<string> {
    return this.#step[1].map((p: Packet) => {
      if (p.type === "DATA") return `${p.blockNumber}+${p.data.length}`
      return p.type === "ERROR" ? `ERROR ${p.code}` : p.type
    })
  }
  get effect() {
    return this.#step[2]
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
    if (blksize !== 512) transfer.give(ack(0))
    const said = [...transfer.said]
    for (let n = 1; n < blocks.length; n++) said.push(...transfer.give(ack(n)).said)
    expect(said).toEqual(blocks)
    expect(transfer.give(ack(blocks.length)).effect).toEqual({ type: "end", outcome: { type: "done", sizeBytes } })
    expect(transfer.give(ack(blocks.length)).effect).toEqual({ type: "none" })
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
  const windowed = (sizeBytes = 512 * 10) => new Driven(Buffer.alloc(sizeBytes), [["windowsize", "4"]]).give(ack(0))

  it("is sent at once and followed by the next when its last block is acknowledged", () => {
    const transfer = windowed()
    expect(transfer.said).toEqual(["1+512", "2+512", "3+512", "4+512"])
    expect(transfer.give(ack(4)).said).toEqual(["5+512", "6+512", "7+512", "8+512"])
    expect(transfer.give(ack(8)).said).toEqual(["9+512", "10+512", "11+0"])
    expect(transfer.give(ack(11)).effect).toMatchObject({ outcome: { type: "done" } })
  })
  it("begins after the block that is acknowledged, where that is not its last", () => {
    expect(windowed().give(ack(2)).said).toEqual(["3+512", "4+512", "5+512", "6+512"])
  })
  it("is not moved by an ACK of what was not sent, nor of what lies behind", () => {
    const transfer = windowed()
    expect(transfer.give(ack(5)).said).toEqual([])
    expect(transfer.give(ack(65_535)).said).toEqual([])
    expect(transfer.give(ack(4)).give(ack(3)).said).toEqual([])
  })
})

describe("an acknowledgement that comes twice", () => {
  it("sends nothing (the Sorcerer's Apprentice), whatever is doubled", () => {
    const transfer = new Driven(Buffer.alloc(2000))
    expect(transfer.give(ack(1)).said).toEqual(["2+512"])
    expect(transfer.give(ack(1)).said).toEqual([])
    const network: Network = { random: random(5), loss: 0, doubling: 1, jitter: 0 }
    const file = patterned(512 * 200, 5)
    const result = exchange(file, [], network)
    expect([result.bytes.equals(file), result.sent]).toEqual([true, { DATA: 201 }])
  })
  it("of the OACK does not send the first block again", () => {
    const transfer = new Driven(Buffer.alloc(2000), [["tsize", "0"]])
    expect(transfer.said).toEqual(["OACK"])
    expect(transfer.give(ack(1)).said).toEqual([])
    expect(transfer.give(ack(0)).said).toEqual(["1+512"])
    expect(transfer.give(ack(0)).said).toEqual([])
  })
})

describe("a request that comes again", () => {
  const request: Input = { type: "request" }
  it("is answered again at once, as long as nothing came of the answer", () => {
    const agreed = new Driven(Buffer.alloc(2000), [["tsize", "0"]])
    expect([agreed.give(request, 150).said, agreed.effect]).toEqual([["OACK"], { type: "wait", until: 1000 }])
    expect(agreed.give(request, 400).said).toEqual(["OACK"])
    expect(agreed.give(ack(0), 401).said).toEqual(["1+512"])
    // Which of the three was answered, nobody knows (Karn).
    expect(agreed.effect).toEqual({ type: "wait", until: 1401 })
    expect(agreed.give(request, 900).said).toEqual([])
    const plain = new Driven(Buffer.alloc(2000))
    expect(plain.give(request, 150).said).toEqual(["1+512"])
    expect(plain.give(ack(1), 160).said).toEqual(["2+512"])
    expect(plain.give(request, 900).said).toEqual([])
  })
  it("just after the first is that one doubled, and brings nothing", () => {
    const transfer = new Driven(Buffer.alloc(2000), [["tsize", "0"]])
    expect([transfer.give(request, 19).said, transfer.effect]).toEqual([[], { type: "wait", until: 1000 }])
  })
  it("is answered no more often than silence is, whoever asks", () => {
    const transfer = new Driven(Buffer.alloc(2000))
    const said = Array.from({ length: 20 }, (_, n) => transfer.give(request, 100 + n).said.length)
    expect(said.filter((packets) => packets > 0)).toHaveLength(bounds.retriesMax)
  })
  it("does not make a client that says nothing else wait for longer", () => {
    const transfer = new Driven(Buffer.alloc(2000))
    transfer.give(request, 500)
    expect(transfer.give({ type: "time" }, 1000).said).toEqual(["1+512"])
  })
})

describe("silence", () => {
  const timesOf = (transfer: Driven): ReadonlyArray<number> => {
    const times: Array<number> = []
    for (let n = 0; n < 20 && transfer.effect.type === "wait"; n++) {
      times.push(transfer.effect.until)
      transfer.give({ type: "time" }, transfer.effect.until)
    }
    return times
  }

  it("is broken later each time, and ends the transfer after five retries, with the last block in its outcome", () => {
    const transfer = new Driven(Buffer.alloc(2000))
    expect(timesOf(transfer)).toEqual([1000, 3000, 7000, 15_000, 23_000, 31_000])
    expect(transfer.said).toEqual(["ERROR 0"])
    expect(transfer.effect).toEqual({
      type: "end",
      outcome: { type: "timeout", lastBlock: 0, blocks: 4, seconds: 31 },
    })
  })
  it("after the last window is no failure where the client had answered before: what it lacks is not known", () => {
    const last = new Driven(Buffer.alloc(2000)).give(ack(1), 20).give(ack(2), 40).give(ack(3), 60)
    timesOf(last)
    expect(last.said).toEqual(["ERROR 0"])
    expect(last.effect).toEqual({ type: "end", outcome: { type: "unconfirmed", sizeBytes: 2000, seconds: 37 } })
    const agreed = new Driven(Buffer.alloc(100), [["tsize", "0"]]).give(ack(0), 20)
    timesOf(agreed)
    expect(agreed.effect).toMatchObject({ outcome: { type: "unconfirmed", sizeBytes: 100 } })
    const never = new Driven(Buffer.alloc(100))
    timesOf(never)
    expect(never.effect).toMatchObject({ outcome: { type: "timeout", lastBlock: 0, blocks: 1 } })
    const unopened = new Driven(Buffer.alloc(100), [["tsize", "0"]])
    timesOf(unopened)
    expect(unopened.effect).toMatchObject({ outcome: { type: "timeout", lastBlock: 0, blocks: 1 } })
  })
  it("of a client that was fast is broken soon (RFC 8985 §7.2), then later, and it is given half a minute all the same", () => {
    const transfer = new Driven(Buffer.alloc(2000)).give(ack(1), 20)
    const waits = [60, 260, 660, 1460, 3060, 6260, 12_660, 20_660, 28_660, 36_660]
    expect(timesOf(transfer)).toEqual(waits.map((millis) => 20 + millis))
    expect(transfer.effect).toMatchObject({ outcome: { type: "timeout", lastBlock: 1, seconds: 37 } })
  })
  it("is measured against the answers so far (RFC 6298 §2), but for those to what was sent twice (Karn)", () => {
    const transfer = new Driven(Buffer.alloc(5000)).give(ack(1), 400)
    // SRTT 400, RTTVAR 200
    expect(transfer.effect).toEqual({ type: "wait", until: 1600 })
    // SRTT 0.875 · 400 + 0.125 · 80, RTTVAR 0.75 · 200 + 0.25 · 320
    expect(transfer.give(ack(2), 480).effect).toEqual({ type: "wait", until: 480 + 360 + 4 * 230 })
    transfer.give({ type: "time" }, 1760)
    expect(transfer.give(ack(3), 1761).effect).toEqual({ type: "wait", until: 1761 + 1280 })
  })
  it("where a timeout was agreed, is broken once as soon as the answers teach, and then in its rhythm", () => {
    const fast = new Driven(Buffer.alloc(2000), [["timeout", "5"]]).give(ack(0), 10).give(ack(1), 20)
    expect(timesOf(fast)).toEqual([45, 5045, 10_045, 15_045, 20_045, 25_045])
    const slow = new Driven(Buffer.alloc(2000), [["timeout", "1"]]).give(ack(0), 900)
    expect(timesOf(slow).slice(0, 2)).toEqual([1900, 2900])
  })
  it("of a slow line is given time beyond a second, and eight at most", () => {
    expect(new Driven(Buffer.alloc(2000)).give(ack(1), 900).effect).toEqual({ type: "wait", until: 900 + 2700 })
    const slow = new Driven(Buffer.alloc(2000), [["windowsize", "1"]]).give(ack(0), 900).give(ack(1), 3500)
    expect(slow.effect).toMatchObject({ type: "wait" })
    expect(slow.give(ack(2), 9000).effect).toEqual({ type: "wait", until: 17_000 })
  })
  it("is broken in the rhythm that was agreed, and a long one ends sooner", () => {
    expect(timesOf(new Driven(Buffer.alloc(1), [["timeout", "2"]]))).toEqual([2000, 4000, 6000, 8000, 10_000, 12_000])
    expect(timesOf(new Driven(Buffer.alloc(1), [["timeout", "255"]]))).toEqual([255_000, 510_000])
  })
  it("sends the whole window again, and not before its time", () => {
    const transfer = new Driven(Buffer.alloc(2000), [["windowsize", "2"]]).give(ack(0), 10)
    expect(transfer.give({ type: "time" }, 109).said).toEqual([])
    expect(transfer.give({ type: "time" }, 110).said).toEqual(["1+512", "2+512"])
  })
  it("counts from anew with every block that gets through", () => {
    const transfer = new Driven(Buffer.alloc(2000)).give({ type: "time" }, 1000).give(ack(1), 1500)
    expect(transfer.effect).toEqual({ type: "wait", until: 2500 })
  })
})

describe("an end before the last block", () => {
  it("comes with the client's ERROR, which is not answered", () => {
    const refused = new Driven(Buffer.alloc(1), [["tsize", "0"]])
    refused.give({ type: "packet", packet: { type: "ERROR", code: 8, message: "no" } })
    expect([refused.said, refused.effect]).toEqual([
      [],
      { type: "end", outcome: { type: "aborted", code: 8, message: "no" } },
    ])
  })
  it("comes with a packet that a reader never sends, but not with noise", () => {
    const transfer = new Driven(Buffer.alloc(1))
    transfer.give({ type: "packet", packet: { type: "unknown", opcode: 99, why: "noise" } }, 5)
    expect([transfer.said, transfer.effect]).toEqual([[], { type: "wait", until: 1000 }])
    transfer.give({ type: "packet", packet: { type: "DATA", blockNumber: 1, data: Buffer.alloc(1) } })
    expect([transfer.said, transfer.effect]).toMatchObject([["ERROR 4"], { outcome: { type: "failed" } }])
  })
  it("comes when the file is shorter than it was, cannot be read, or the server stops", () => {
    const [reading] = begin([], 1000, bounds, 0)
    const short = step(reading, { type: "bytes", bytes: Buffer.alloc(511) }, 0)
    expect(short[2]).toEqual({
      type: "end",
      outcome: { type: "failed", message: "the file changed while it was sent" },
    })
    const unreadable = step(reading, { type: "unreadable", message: "why" }, 0)
    expect(unreadable[1]).toEqual([{ type: "ERROR", code: 0, message: "why" }])
    expect(step(reading, { type: "stop" }, 0)[2]).toMatchObject({ outcome: { type: "stopped" } })
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
