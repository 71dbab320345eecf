/** Recorded initiators replayed, cut off at every byte, and seeded sessions of mutated PDUs: nothing crashes, hangs, leaks or strays. */
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { blockCdb } from "../../adapters/iscsi/client.ts"
import * as pdu from "../../adapters/iscsi/pdu.ts"
import { encodeText } from "../../adapters/iscsi/text.ts"
import { golden, goldenNames, opcodesOf, said } from "../support/iscsi-golden.ts"
import { PC1, startIscsi, until } from "../support/iscsi-server.ts"
import { MemoryDevice, seeded } from "../support/memory-disks.ts"

const seeds = Number(process.env.IMAGELINK_SEEDS ?? 2)
const sessionsPerSeed = 200

let s: Awaited<ReturnType<typeof startIscsi>>
const other = new MemoryDevice({ sizeBytes: 1024 * 1024, id: "PC-002/0/1" })
beforeAll(async () => {
  s = await startIscsi({ sizeBytes: 1024 * 1024, missRate: 0.3 })
  // tgtd's disk is LUN 1, and so is ours for the recordings.
  s.disks
    .add("client/PC-001/1", new MemoryDevice({ sizeBytes: 1024 * 1024, id: "PC-001/1/1" }))
    .add("client/PC-002/0", other)
})
afterAll(() => s.stop())

/** Sends it all, then leaves; settles with what came back once the connection is closed. */
const converse = (chunks: ReadonlyArray<Uint8Array>, leave: "end" | "destroy" = "end"): Promise<Buffer> =>
  new Promise((resolve) => {
    const socket = s.raw()
    const got: Array<Buffer> = []
    socket.on("data", (b) => got.push(b)).on("close", () => resolve(Buffer.concat(got)))
    for (const chunk of chunks) socket.write(chunk)
    if (leave === "end") socket.end()
    else socket.once("connect", () => setImmediate(() => socket.destroy()))
  })

const nothingIsLeft = async (seed: string): Promise<void> => {
  await until(() => s.server.connections() === 0, `${seed}: every connection is over`)
  expect(s.disks.leases("client/PC-001/0"), seed).toBe(0)
  const client = await s.connect()
  expect(await client.nop(Buffer.from("alive")), seed).toEqual(Buffer.from("alive"))
  await client.logout()
  await until(() => s.server.connections() === 0, `${seed}: that one too`)
}

describe("a recorded initiator", () => {
  it.each(goldenNames)("%s is answered PDU for PDU as its own target answered it", async (name) => {
    for (const connection of golden(name)) {
      // Waiting for each answer, as the initiator did.
      const socket = s.raw()
      let got = Buffer.alloc(0)
      let closed = false
      socket.on("data", (b) => (got = Buffer.concat([got, b]))).on("close", () => (closed = true))
      let wanted = 0
      for (const run of connection) {
        if (run.who === "C") socket.write(run.bytes)
        else {
          wanted += opcodesOf(run.bytes).length
          await until(() => opcodesOf(got).length >= wanted || closed, `${name}: ${wanted} answers`)
        }
      }
      socket.destroy()
      expect(opcodesOf(got)).toEqual(opcodesOf(said(connection, "S")))
    }
    await nothingIsLeft(name)
  })

  it.each(goldenNames)("%s cut off at every byte leaves nothing behind", async (name) => {
    const bytes = said(golden(name).at(-1)!, "C")
    for (let from = 0; from < bytes.length; from += 50) {
      const cuts = Array.from({ length: Math.min(50, bytes.length - from) }, (_, i) => from + i)
      await Promise.all(cuts.map((cut) => converse([bytes.subarray(0, cut)])))
    }
    await nothingIsLeft(name)
  })
})

describe("random", () => {
  it("bytes are no login, and after one they are no session", async () => {
    const random = seeded(1)
    const bytes = (n: number) => Buffer.from(Array.from({ length: n }, () => Math.floor(random() * 256)))
    for (let i = 0; i < 40; i++) {
      await converse([bytes(Math.floor(random() * 300))], "destroy")
      await converse([login(), bytes(Math.floor(random() * 300))], "destroy")
    }
    await nothingIsLeft("random bytes")
  })

  it.each(Array.from({ length: seeds }, (_, i) => i + 1))(
    `sessions, ${sessionsPerSeed} of them with seed %i`,
    async (seed) => {
      const random = seeded(seed)
      for (let i = 0; i < sessionsPerSeed; i += 20)
        await Promise.all(
          Array.from({ length: 20 }, () =>
            converse([Buffer.concat([login(random), ...mutants(random)])], random() < 0.5 ? "end" : "destroy"),
          ),
        )
      await nothingIsLeft(`seed ${seed}`)
      expect(
        other.bytes.every((b) => b === 0),
        `seed ${seed}`,
      ).toBe(true)
    },
  )
})

/** A whole login in one PDU; CmdSN begins at 1. */
const login = (random: () => number = () => 0): Buffer => {
  const text = encodeText([
    ["InitiatorName", `iqn.2026-11.test:fuzz-${Math.floor(random() * 4)}`],
    ["TargetName", PC1],
    ["InitialR2T", random() < 0.5 ? "Yes" : "No"],
    ["ImmediateData", random() < 0.5 ? "Yes" : "No"],
    ["MaxRecvDataSegmentLength", String(512 << Math.floor(random() * 8))],
    ["DataPDUInOrder", random() < 0.5 ? "Yes" : "No"],
  ])
  const b = Buffer.alloc(48 + pdu.padded(text.length))
  b[0] = pdu.IMMEDIATE | pdu.LOGIN
  b[1] = 0x87
  b.writeUIntBE(text.length, 5, 3)
  b[8] = 0x80
  b[13] = Math.floor(random() * 3)
  b.writeUInt32BE(1, 24)
  b.set(text, 48)
  return b
}

const opcodes = [
  pdu.NOP_OUT,
  pdu.SCSI_COMMAND,
  pdu.SCSI_COMMAND,
  pdu.SCSI_COMMAND,
  pdu.TASK_MANAGEMENT,
  pdu.TEXT,
  pdu.DATA_OUT,
  pdu.DATA_OUT,
  pdu.LOGOUT,
  pdu.SNACK,
  pdu.LOGIN,
]
const cdbs = [
  0x00, 0x08, 0x0a, 0x12, 0x15, 0x16, 0x1a, 0x1b, 0x25, 0x28, 0x2a, 0x2e, 0x2f, 0x35, 0x41, 0x42, 0x55, 0x5a, 0x5e,
  0x5f, 0x83, 0x84, 0x88, 0x89, 0x8a, 0x8b, 0x8e, 0x93, 0x9e, 0xa0, 0xa3, 0xa8, 0xaa,
]

/** PDUs that are nearly right: a few bits of the header turned, lengths that lie, numbers in and out of the window. */
const mutants = (random: () => number): ReadonlyArray<Buffer> => {
  const upTo = (n: number) => Math.floor(random() * n)
  let cmdSN = 1
  return Array.from({ length: 1 + upTo(12) }, () => {
    const opcode = opcodes[upTo(opcodes.length)]!
    const data = random() < 0.5 ? 0 : [1, 16, 24, 512, 1024, 4096][upTo(6)]!
    const b = Buffer.alloc(48 + pdu.padded(data), upTo(256))
    b.fill(0, 0, 48)
    b[0] = opcode | (random() < 0.2 ? pdu.IMMEDIATE : 0)
    b[1] = random() < 0.8 ? pdu.FINAL : 0
    b.writeUIntBE(data, 5, 3)
    b[9] = random() < 0.9 ? 0 : upTo(256)
    b.writeUInt32BE(random() < 0.9 ? upTo(8) : pdu.NO_TAG, 16)
    b.writeUInt32BE([pdu.NO_TAG, upTo(8), data, 8192][upTo(4)]!, 20)
    b.writeUInt32BE(random() < 0.9 ? cmdSN : upTo(2 ** 32), 24)
    if (opcode === pdu.SCSI_COMMAND) {
      b[1]! |= [0, pdu.COMMAND_READ, pdu.COMMAND_WRITE, 0x60][upTo(4)]! | upTo(4)
      const code = cdbs[upTo(cdbs.length)]!
      if (random() < 0.7) b.set(blockCdb(code, upTo(2049) * 512, upTo(20) * 512, random() < 0.8 ? 0 : upTo(256)), 32)
      else b.set([code, ...Array.from({ length: 15 }, () => upTo(256))], 32)
    } else if (opcode === pdu.TASK_MANAGEMENT) b[1] = 0x80 | upTo(14)
    else if (opcode === pdu.DATA_OUT) b.writeUInt32BE(upTo(4), 36)
    if ((b[0]! & pdu.IMMEDIATE) === 0 && opcode !== pdu.DATA_OUT && opcode !== pdu.SNACK) cmdSN++
    for (let flips = random() < 0.3 ? upTo(4) : 0; flips > 0; flips--) b[upTo(48)]! ^= 1 << upTo(8)
    return b
  })
}
