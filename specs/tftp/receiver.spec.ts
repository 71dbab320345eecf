/** What a client answers: each block in order, the gaps, what comes twice, and options nobody asked for. */
import { describe, expect, it } from "vitest"
import type { Packet, TftpOption } from "../../adapters/tftp/packet.ts"
import { receive, receiver } from "../../adapters/tftp/receiver.ts"

const data = (blockNumber: number, length = 512): Packet => ({
  type: "DATA",
  blockNumber,
  data: Buffer.alloc(length, blockNumber),
})

/** Each packet's answer: the block that is acknowledged, "-" for none, or the error's code; and "!" where the file is whole. */
const answers = (options: ReadonlyArray<TftpOption>, ...packets: ReadonlyArray<Packet>): string => {
  let state = receiver(options)
  const said = packets.map((packet) => {
    const [next, answer, received] = receive(state, packet)
    state = next
    const whole = received.type === "whole" ? "!" : ""
    if (answer === undefined) return `-${whole}`
    return answer.type === "ACK" ? `${answer.blockNumber}${whole}` : `E${answer.type === "ERROR" ? answer.code : "?"}`
  })
  return said.join(" ")
}
const oack = (...options: ReadonlyArray<TftpOption>): Packet => ({ type: "OACK", options })

describe("a receiver", () => {
  it("acknowledges each block, and the newest again when it comes again", () => {
    expect(answers([], data(1), data(1), data(2), data(1), data(2), data(3, 0))).toBe("1 1 2 - 2 3!")
  })
  it("acknowledges the end of a window only, and a gap once until it is filled", () => {
    const window: ReadonlyArray<TftpOption> = [["windowsize", "3"]]
    const three = oack(["windowsize", "3"])
    expect(answers(window, three, data(1), data(2), data(3), data(4), data(5, 1))).toBe("0 - - 3 - 5!")
    expect(answers(window, three, data(1), data(3), data(3), data(2), data(3), data(4))).toBe("0 - 1 - - - 4")
  })
  it("acknowledges the OACK again, but not once data came", () => {
    const asked: ReadonlyArray<TftpOption> = [["tsize", "0"]]
    expect(answers(asked, oack(["tsize", "9"]), oack(["tsize", "9"]), data(1, 9))).toBe("0 0 1!")
    expect(answers(asked, data(1), oack(["tsize", "9"]), data(2, 9))).toBe("1 - 2!")
  })
  it("refuses options that it did not ask for, larger than it asked, or none (8)", () => {
    expect(answers([], oack(["blksize", "8"]))).toBe("E8")
    expect(answers([["blksize", "1468"]], oack(["blksize", "1469"]))).toBe("E8")
    expect(answers([["blksize", "1468"]], oack(["blksize", "0"]))).toBe("E8")
    expect(answers([["blksize", "1468"]], oack(["blksize", "x"]))).toBe("E8")
    expect(answers([["blksize", "1468"]], oack(["blksize", "1468"]), data(1, 1468), data(2, 1467))).toBe("0 1 2!")
  })
  it("refuses a block larger than was agreed (4), and what only servers are sent (4)", () => {
    expect(answers([], data(1, 513))).toBe("E4")
    expect(answers([], { type: "ACK", blockNumber: 0 })).toBe("E4")
  })
})
