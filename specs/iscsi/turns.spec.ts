/** Commands that come before their turn: what is kept of them, for how long, and how much of it. */
import { describe, expect, it } from "vitest"
import { ServerBudget, SessionBudget } from "../../adapters/iscsi/budget.ts"
import * as pdu from "../../adapters/iscsi/pdu.ts"
import { Turns } from "../../adapters/iscsi/turns.ts"

const HEAD = 48

const waiting = (bytesMax = 1000) => {
  const server = new ServerBudget(1500)
  const budget = new SessionBudget(bytesMax, server)
  const sender = { expCmdSN: 1, maxCmdSN: 4 }
  const got: Array<string> = []
  const failures: Array<string> = []
  const take = (what: string) => (head: Uint8Array, h: number, data: Uint8Array, d: number, bytes: number) =>
    void got.push(`${what} ${head[h + 19]} ${Buffer.from(data.subarray(d, d + bytes)).toString()}`)
  const turns: Turns = new Turns({
    ...{ sender, budget },
    deliver: take("command"),
    dataOut: take("data"),
    fail: (why) => {
      failures.push(why)
      turns.clear()
    },
  })
  const header = (opcode: number, itt: number) => {
    const b = Buffer.alloc(HEAD)
    pdu.beginHeader(b, 0, opcode, 0, itt)
    return b
  }
  const command = (cmdSN: number, itt: number, text = "") =>
    turns.keep(cmdSN, header(pdu.SCSI_COMMAND, itt), 0, Buffer.from(text), 0, text.length)
  const data = (itt: number, text: string) =>
    turns.keepData(header(pdu.DATA_OUT, itt), 0, Buffer.from(text), 0, text.length)
  return { server, budget, sender, got, failures, turns, command, data }
}

describe("a command before its turn", () => {
  it("is delivered with its data when those before it have come, and held as long", () => {
    const { server, budget, sender, got, turns, command, data } = waiting()
    command(3, 30, "c")
    command(2, 20, "a")
    data(20, "b")
    data(99, "of nobody")
    expect([budget.bytes, server.bytes, turns.waiting]).toEqual([3 * HEAD + 3, 3 * HEAD + 3, true])
    turns.go()
    expect(got).toEqual([])
    sender.expCmdSN = 2
    turns.go()
    expect(got).toEqual(["command 20 a", "data 20 b", "command 30 c"])
    expect([sender.expCmdSN, budget.bytes, server.bytes, turns.waiting]).toEqual([4, 0, 0, false])
  })

  it("is ignored when it came before, twice, or from outside the window", () => {
    const { turns, got, command, sender } = waiting()
    for (const [cmdSN, itt] of [
      [0, 1],
      [5, 2],
      [2, 3],
      [2, 4],
    ] as const)
      command(cmdSN, itt)
    sender.expCmdSN = 2
    turns.go()
    expect(got).toEqual(["command 3 "])
    expect(sender.expCmdSN).toBe(3)
  })

  it("that was aborted leaves its number, and nothing in memory", () => {
    const { budget, sender, got, turns, command, data } = waiting()
    command(2, 20, "a")
    data(20, "b")
    command(3, 30, "c")
    expect([turns.drop(20), turns.drop(20), turns.drop(99)]).toEqual([true, false, false])
    data(20, "still coming")
    expect(budget.bytes).toBe(HEAD + 1)
    turns.skip(1)
    expect(got).toEqual(["command 30 c"])
    expect([sender.expCmdSN, budget.bytes]).toEqual([4, 0])
  })

  it("beyond the budget of its session or its server ends the session, which gives all back", () => {
    for (const [bytesMax, taken] of [
      [2 * HEAD, 0],
      [1000, 1500 - 2 * HEAD],
    ] as const) {
      const { server, budget, failures, command, data } = waiting(bytesMax)
      expect(server.take(taken)).toBe(true)
      command(2, 20)
      command(3, 30)
      expect(failures).toEqual([])
      data(30, "one too many")
      expect(failures).toEqual(["too much came before its turn"])
      expect([budget.bytes, server.bytes]).toEqual([0, taken])
    }
  })
})
