/** The full feature phase over real sockets: data in every way it may come, numbers, digests, task management. */
import { afterEach, describe, expect, it } from "vitest"
import { blockCdb, type IscsiClient, type Received } from "../../adapters/iscsi/client.ts"
import * as pdu from "../../adapters/iscsi/pdu.ts"
import { fail } from "../../core/errors.ts"
import { startIscsi, until } from "../support/iscsi-server.ts"
import { type MemoryDevice, seeded } from "../support/memory-disks.ts"

const open: Array<{ stop(): Promise<void> }> = []
afterEach(async () => {
  for (const one of open.splice(0)) await one.stop()
})
const start = async (options: Parameters<typeof startIscsi>[0] = {}) => {
  const s = await startIscsi(options)
  open.push(s)
  return s
}
const noise = (bytes: number, seed = 1): Buffer => {
  const random = seeded(seed)
  return Buffer.from(Array.from({ length: bytes }, () => Math.floor(random() * 256)))
}
const ready = async (client: IscsiClient): Promise<IscsiClient> => {
  await client.good({ cdb: [0] })
  return client
}
const KiB = 1024

describe("data", () => {
  const terms: ReadonlyArray<readonly [string, Readonly<Record<string, string>>]> = [
    [
      "as firmware agrees it",
      { MaxRecvDataSegmentLength: "8192", ImmediateData: "No", InitialR2T: "Yes", MaxBurstLength: "262144" },
    ],
    ["as a running system agrees it", {}],
    [
      "in the smallest segments and bursts",
      { MaxRecvDataSegmentLength: "512", MaxBurstLength: "512", FirstBurstLength: "512" },
    ],
    ["with bursts that are no multiple of segments", { MaxRecvDataSegmentLength: "3000", MaxBurstLength: "10000" }],
    ["with both digests", { HeaderDigest: "CRC32C", DataDigest: "CRC32C", MaxRecvDataSegmentLength: "8192" }],
    ["with several R2Ts", { ImmediateData: "No", MaxBurstLength: "4096", MaxOutstandingR2T: "4" }],
  ]
  for (const missRate of [0, 1])
    it.each(terms)(`%s is what was written, missing the fast path ${missRate * 100} %%`, async (_what, keys) => {
      const s = await start({ missRate })
      const client = await ready(await s.connect({ keys }))
      for (const bytes of [512, 8192, 9 * 512, 262_144, 600 * 512]) {
        const data = noise(bytes, bytes)
        await client.write(KiB, data)
        expect(s.device.bytes.subarray(KiB, KiB + bytes).equals(data)).toBe(true)
        expect((await client.read(KiB, bytes)).equals(data), `${bytes} bytes`).toBe(true)
      }
    })

  it("in segments that need padding fits the slab however many replies share it", async () => {
    const s = await start({ features: { byteGranular: true } })
    const keys = {
      MaxRecvDataSegmentLength: "513",
      MaxBurstLength: "1001",
      DataDigest: "CRC32C",
      HeaderDigest: "CRC32C",
    }
    const client = await ready(await s.connect({ keys }))
    s.device.put(0, noise(1024 * KiB))
    const reads = Array.from({ length: 12 }, (_, i) => [i * 17 * 512, (i % 3 === 0 ? 512 : 29 * i) * 512] as const)
    const got = await Promise.all(reads.map(([at, bytes]) => client.read(at, bytes)))
    for (const [i, [at, bytes]] of reads.entries())
      expect(got[i]!.equals(s.device.bytes.subarray(at, at + bytes)), `read ${i}`).toBe(true)
  })

  it("out of order within a burst is put where it belongs, when that was agreed", async () => {
    const s = await start()
    const client = await ready(
      await s.connect({ keys: { ImmediateData: "No", DataPDUInOrder: "No", MaxBurstLength: "1048576" } }),
    )
    client.answers.set("MaxRecvDataSegmentLength", "4096")
    client.transfers.order = (pieces) => pieces.toReversed()
    const data = noise(64 * KiB)
    await client.write(0, data)
    expect(s.device.bytes.subarray(0, 64 * KiB).equals(data)).toBe(true)
  })

  it("out of order ends the session when it was not agreed, and nothing is written", async () => {
    const s = await start()
    const client = await ready(await s.connect({ keys: { ImmediateData: "No" } }))
    client.answers.set("MaxRecvDataSegmentLength", "4096")
    client.transfers.order = (pieces) => pieces.toReversed()
    await expect(client.write(0, noise(64 * KiB))).rejects.toThrow()
    await client.closed
    expect(s.device.bytes.every((b) => b === 0)).toBe(true)
  })

  it("that comes unsolicited is taken up to the first burst", async () => {
    const s = await start()
    const client = await ready(await s.connect({ keys: { ImmediateData: "No", FirstBurstLength: "4096" } }))
    const data = noise(4096)
    const itt = client.nextTag()
    const head = client.header(pdu.SCSI_COMMAND, pdu.COMMAND_WRITE, itt, 0, false)
    head.writeUInt32BE(4096, 20)
    head.set(blockCdb(0x8a, 0, 4096), 32)
    client.send(head, Buffer.alloc(0))
    client.transfers.dataOut(itt, 0, pdu.NO_TAG, 0, 0, data.subarray(0, 1024), false)
    client.transfers.dataOut(itt, 0, pdu.NO_TAG, 1, 1024, data.subarray(1024), true)
    await client.nop(Buffer.alloc(0))
    expect(s.device.bytes.subarray(0, 4096).equals(data)).toBe(true)
  })

  it("with a DataSN out of sequence fails its command and no other", async () => {
    const s = await start()
    const client = await ready(await s.connect({ keys: { ImmediateData: "No" } }))
    client.onPdu = ({ opcode, head }) => {
      if (opcode !== pdu.R2T) return false
      client.transfers.dataOut(head.readUInt32BE(16), 0, head.readUInt32BE(20), 27, 0, Buffer.alloc(512, 1), true)
      return true
    }
    const { status, sense } = await client.command({ cdb: blockCdb(0x8a, 0, 512), writes: Buffer.alloc(512, 1) })
    expect([status, sense?.[2], sense?.readUInt16BE(12)]).toEqual([2, 0xb, 0x4705])
    expect(s.device.bytes[0]).toBe(0)
    expect(await client.nop(Buffer.from("x"))).toEqual(Buffer.from("x"))
  })

  it("that does not match its digest is rejected, and ends the session", async () => {
    const s = await start()
    const client = await ready(await s.connect({ keys: { DataDigest: "CRC32C" } }))
    const head = client.header(pdu.SCSI_COMMAND, pdu.FINAL | pdu.COMMAND_WRITE, client.nextTag(), 512, false)
    head.writeUInt32BE(512, 20)
    head.set(blockCdb(0x8a, 0, 512), 32)
    const framed = client.framed(head, Buffer.alloc(512, 9))
    framed[100]! ^= 1
    client.raw(framed)
    await client.closed
    expect(client.unasked.map((r) => [r.opcode, r.head[2]])).toEqual([[pdu.REJECT, pdu.REJECT_DATA_DIGEST]])
    expect(s.device.bytes[0]).toBe(0)
  })
})

describe("residuals", () => {
  it.each([
    [0, 512, 0],
    [200, 312, 200],
    [512, 0, 512],
    [10_000, -9488, 512],
  ])("of a read of one block with %i bytes expected are %i", async (expected, residual, got) => {
    const s = await start()
    const client = await ready(await s.connect())
    const r = await client.command({ cdb: blockCdb(0x88, 0, 512), reads: Math.max(expected, 1), expected })
    expect([r.status, r.residual, r.data.length]).toEqual([0, residual, got])
  })

  it.each([
    [512, 512, 1],
    [1024, 0, 2],
    [2048, -1024, 2],
  ])(
    "of a write of two blocks with %i bytes sent are %i, and %i blocks are written",
    async (sent, residual, blocks) => {
      const s = await start()
      const client = await ready(await s.connect())
      const r = await client.command({ cdb: blockCdb(0x8a, 0, 1024), writes: Buffer.alloc(sent, 5) })
      expect([r.status, r.residual]).toEqual([0, residual])
      expect(s.device.bytes.subarray(0, 4096).filter((b) => b === 5).length).toBe(blocks * 512)
    },
  )

  it("a bidirectional command is refused", async () => {
    const s = await start()
    const client = await ready(await s.connect())
    const r = await client.command({ cdb: blockCdb(0x8a, 0, 512), writes: Buffer.alloc(512, 5), reads: 512 })
    expect([r.status, r.sense?.readUInt16BE(12)]).toEqual([2, 0x0e03])
    expect(s.device.bytes[0]).toBe(0)
  })
})

describe("an additional header segment", () => {
  /** §11.2.2: AHSLength, AHSType, what it holds. */
  const ahs = (type: number, bytes: number) => {
    const b = Buffer.alloc(3 + bytes)
    b.writeUInt16BE(bytes, 0)
    b[2] = type
    return Buffer.concat([b, Buffer.alloc((4 - (b.length & 3)) & 3)])
  }
  const EXTENDED_CDB = 1
  const BIDIRECTIONAL_READ_LENGTH = 2

  it.each([
    ["of a type nobody knows is passed over", 0x3f, 21, 0x88, 0],
    ["with the rest of a long CDB is that of a command that is not there", EXTENDED_CDB, 17, 0x7f, 0x2000],
    ["with the length of a bidirectional read is refused with its command", BIDIRECTIONAL_READ_LENGTH, 5, 0x8a, 0x0e03],
  ])("%s", async (_what, type, bytes, opcode, code) => {
    const s = await start()
    const client = await ready(await s.connect({ keys: { HeaderDigest: "CRC32C" } }))
    const wanted = noise(512)
    s.device.put(0, wanted)
    const segment = ahs(type, bytes)
    const itt = client.nextTag()
    const head = client.header(pdu.SCSI_COMMAND, pdu.FINAL, itt, 0, false)
    head[1]! |= code === 0x0e03 ? pdu.COMMAND_READ | pdu.COMMAND_WRITE : pdu.COMMAND_READ
    head[4] = segment.length / 4
    head.writeUInt32BE(512, 20)
    head.set(blockCdb(opcode, 0, 512), 32)
    const answers: Array<Received> = []
    client.onPdu = (r) => answers.push({ ...r, data: Buffer.from(r.data) }) > 0
    client.send(Buffer.concat([head, segment]), new Uint8Array(0))
    await until(() => answers.length > 0, "it was answered")
    const [answer] = answers
    if (code === 0) expect(answer!.data.equals(wanted)).toBe(true)
    else expect(answer!.data.readUInt16BE(2 + 12)).toBe(code)
    client.onPdu = undefined
  })
})

describe("CmdSN", () => {
  it("outside the window is ignored, and one that is early waits for its turn", async () => {
    const s = await start()
    const client = await ready(await s.connect())
    const send = (cmdSN: number, byte: number) => {
      const head = client.header(pdu.SCSI_COMMAND, pdu.FINAL | pdu.COMMAND_WRITE, client.nextTag(), 512, true)
      head[0] = pdu.SCSI_COMMAND
      head.writeUInt32BE(cmdSN >>> 0, 24)
      head.writeUInt32BE(512, 20)
      head.set(blockCdb(0x8a, 0, 512), 32)
      client.send(head, Buffer.alloc(512, byte))
    }
    const now = client.cmdSN
    send(now - 1, 1)
    send(now + 1000, 2)
    send(now + 2, 3)
    expect(
      (await client.request(pdu.NOP_OUT, pdu.FINAL, Buffer.from("a"), (b) => b.writeUInt32BE(pdu.NO_TAG, 20), true))
        .data.length,
    ).toBe(1)
    expect(s.device.bytes[0]).toBe(0)
    send(now, 4)
    send(now + 1, 5)
    client.cmdSN = now + 3
    await client.nop(Buffer.alloc(0))
    expect(s.device.bytes[0]).toBe(3)
  })

  it("wraps around", async () => {
    const s = await start()
    const client = await ready(await s.connect({ cmdSN: 0xffff_fffe }))
    for (let i = 0; i < 5; i++) await client.write(i * 512, Buffer.alloc(512, i + 1))
    expect([0, 1, 2, 3, 4].map((i) => s.device.bytes[i * 512])).toEqual([1, 2, 3, 4, 5])
  })

  it("is answered with a window that closes while commands are under way, and opens again", async () => {
    const s = await start()
    const client = await ready(await s.connect())
    s.device.hold()
    const reads = Array.from({ length: 200 }, () => client.read(0, 512))
    await until(() => client.maxCmdSN === (client.cmdSN - 1) >>> 0, "the window closed")
    s.device.letGo()
    expect(await Promise.all(reads)).toHaveLength(200)
  })
})

describe("task attributes", () => {
  const reads = (client: IscsiClient, lba: number, attribute: number) =>
    client.command({ cdb: blockCdb(0x88, lba * 512, 512), reads: 512, attribute })
  /** Blocks whose reading was begun, in order. */
  const watched = ({ device }: { readonly device: MemoryDevice }): ReadonlyArray<number> => {
    const begun: Array<number> = []
    const read = device.read.bind(device)
    device.read = (into, at, offset, length, signal) => {
      begun.push(offset / 512)
      return read(into, at, offset, length, signal)
    }
    return begun
  }

  it("ORDERED waits for what came before, of every session, and what comes after waits for it", async () => {
    const s = await start({ missRate: 1 })
    const [first, second] = [await ready(await s.connect()), await ready(await s.connect())]
    const begun = watched(s)
    s.device.hold()
    const before = reads(first, 1, pdu.ATTRIBUTE_SIMPLE)
    await first.nop(Buffer.alloc(0))
    const ordered = reads(second, 2, pdu.ATTRIBUTE_ORDERED)
    await second.nop(Buffer.alloc(0))
    const after = reads(first, 3, pdu.ATTRIBUTE_SIMPLE)
    await first.nop(Buffer.alloc(0))
    expect(begun).toEqual([1])
    const head = reads(first, 4, pdu.ATTRIBUTE_HEAD_OF_QUEUE)
    await first.nop(Buffer.alloc(0))
    expect(begun).toEqual([1, 4])
    s.device.letGo()
    expect((await Promise.all([before, ordered, after, head])).map((r) => r.status)).toEqual([0, 0, 0, 0])
    expect(begun).toEqual([1, 4, 2, 3])
  })

  it("ORDERED waits for a write whose data is still to come", async () => {
    const s = await start()
    const client = await ready(await s.connect({ keys: { ImmediateData: "No" } }))
    let r2t: Buffer | undefined
    client.onPdu = ({ opcode, head }) => {
      if (opcode === pdu.R2T) r2t = head
      return opcode === pdu.R2T
    }
    const written = client.write(0, Buffer.alloc(512, 7))
    await until(() => r2t !== undefined, "an R2T came")
    const read = reads(client, 0, pdu.ATTRIBUTE_ORDERED)
    await client.nop(Buffer.alloc(0))
    client.transfers.dataOut(r2t!.readUInt32BE(16), 0, r2t!.readUInt32BE(20), 0, 0, Buffer.alloc(512, 7), true)
    await written
    expect((await read).data).toEqual(Buffer.alloc(512, 7))
  })

  it("of a task that waits is aborted with it, and the line goes on", async () => {
    const s = await start({ missRate: 1 })
    const client = await ready(await s.connect())
    const begun = watched(s)
    s.device.hold()
    const first = reads(client, 1, pdu.ATTRIBUTE_SIMPLE)
    void reads(client, 2, pdu.ATTRIBUTE_ORDERED).catch(() => undefined)
    const waiting = client.lastTag
    const last = reads(client, 3, pdu.ATTRIBUTE_SIMPLE)
    await client.nop(Buffer.alloc(0))
    expect(await client.taskManagement(pdu.TMF_ABORT_TASK, 0, waiting)).toBe(pdu.TMR_COMPLETE)
    s.device.letGo()
    expect([(await first).status, (await last).status]).toEqual([0, 0])
    expect(begun).toEqual([1, 3])
  })

  it.each([4, 5, 7])("%i is refused: there is no ACA condition", async (attribute) => {
    const s = await start()
    const client = await ready(await s.connect())
    const { status, sense } = await reads(client, 0, attribute)
    expect([status, sense?.[2], sense?.readUInt16BE(12)]).toEqual([2, 5, 0x4900])
    await client.good({ cdb: [0] })
  })
})

describe("task management", () => {
  it("aborts a task, which is never answered", async () => {
    const s = await start()
    const client = await ready(await s.connect())
    s.device.hold()
    let answered = false
    void client
      .read(0, 512)
      .then(() => (answered = true))
      .catch(() => undefined)
    const tag = client.lastTag + 1
    await client.nop(Buffer.alloc(0))
    const abort = client.taskManagement(pdu.TMF_ABORT_TASK, 0, client.lastTag - 1)
    await client.nop(Buffer.alloc(0))
    s.device.letGo()
    expect(await abort).toBe(pdu.TMR_COMPLETE)
    expect(await client.taskManagement(pdu.TMF_ABORT_TASK, 0, tag)).toBe(pdu.TMR_NO_TASK)
    expect(answered).toBe(false)
  })

  it("aborts a command that waits for its turn, and the line goes on", async () => {
    const s = await start()
    const client = await ready(await s.connect())
    const now = client.cmdSN
    client.cmdSN = now + 1
    const early = client.write(0, Buffer.alloc(512, 1)).catch(() => undefined)
    expect(await client.taskManagement(pdu.TMF_ABORT_TASK, 0, client.lastTag, now + 1)).toBe(pdu.TMR_COMPLETE)
    client.cmdSN = now
    await client.write(512, Buffer.alloc(512, 2))
    client.cmdSN = now + 2
    await client.write(1024, Buffer.alloc(512, 3))
    expect([s.device.bytes[0], s.device.bytes[512], s.device.bytes[1024]]).toEqual([0, 2, 3])
    expect(early).toBeInstanceOf(Promise)
  })

  it("aborts a write that waits for its data: Data-Out that still comes goes nowhere", async () => {
    const s = await start()
    const client = await ready(await s.connect({ keys: { ImmediateData: "No" } }))
    let r2t: Buffer | undefined
    client.onPdu = ({ opcode, head }) => {
      if (opcode === pdu.R2T) r2t = head
      return opcode === pdu.R2T
    }
    void client.write(0, Buffer.alloc(512, 1)).catch(() => undefined)
    await until(() => r2t !== undefined, "an R2T came")
    expect(await client.taskManagement(pdu.TMF_ABORT_TASK_SET)).toBe(pdu.TMR_COMPLETE)
    client.transfers.dataOut(r2t!.readUInt32BE(16), 0, r2t!.readUInt32BE(20), 0, 0, Buffer.alloc(512, 1), true)
    await client.nop(Buffer.alloc(0))
    expect(s.device.bytes[0]).toBe(0)
  })

  it.each([
    [pdu.TMF_CLEAR_TASK_SET, 0x2f00],
    [pdu.TMF_LOGICAL_UNIT_RESET, 0x2903],
    [pdu.TMF_TARGET_WARM_RESET, 0x2900],
  ])("function %i tells the other session (%i)", async (fn, code) => {
    const s = await start()
    const [first, second] = [await ready(await s.connect()), await ready(await s.connect())]
    expect(await first.taskManagement(fn)).toBe(pdu.TMR_COMPLETE)
    const told = await second.command({ cdb: [0] })
    expect([told.sense?.[2], told.sense?.readUInt16BE(12)]).toEqual([6, code])
    expect((await second.command({ cdb: [0] })).status).toBe(0)
  })

  it("resets the target cold: its sessions end, after the answer", async () => {
    const s = await start()
    const [first, second] = [await s.connect(), await s.connect()]
    expect(await first.taskManagement(pdu.TMF_TARGET_COLD_RESET)).toBe(pdu.TMR_COMPLETE)
    await Promise.all([first.closed, second.closed])
  })

  it.each([
    [pdu.TMF_CLEAR_ACA, 0, pdu.TMR_NOT_SUPPORTED],
    [pdu.TMF_TASK_REASSIGN, 0, pdu.TMR_NO_REASSIGN],
    [pdu.TMF_LOGICAL_UNIT_RESET, 5, pdu.TMR_NO_LUN],
    [pdu.TMF_QUERY_TASK_SET, 0, pdu.TMR_COMPLETE],
    [99, 0, pdu.TMR_NOT_SUPPORTED],
  ])("function %i on LUN %i is answered %i", async (fn, lun, response) => {
    const s = await start()
    expect(await (await s.connect()).taskManagement(fn, lun)).toBe(response)
  })
})

describe("a session", () => {
  it("rejects SNACK and what is no request, and goes on", async () => {
    const s = await start()
    const client = await ready(await s.connect())
    for (const opcode of [pdu.SNACK, 0x1c])
      client.send(client.header(opcode, pdu.FINAL, client.nextTag(), 0, true), Buffer.alloc(0))
    await client.nop(Buffer.alloc(0))
    expect(client.unasked.map((r) => r.head[2])).toEqual([pdu.REJECT_SNACK, pdu.REJECT_NOT_SUPPORTED])
  })

  it("answers a ping with its data", async () => {
    const s = await start()
    const client = await s.connect()
    expect((await client.nop(noise(5000))).equals(noise(5000))).toBe(true)
  })

  it("is pinged when quiet; one that never answered a ping lives on, one that did and stops is closed", async () => {
    const s = await start({ server: { limits: { pingSeconds: 0.02 } } })
    const [firmware, system] = [await s.connect(), await s.connect()]
    firmware.answersPings = false
    const pings = (c: IscsiClient) => c.unasked.filter((r) => r.opcode === pdu.NOP_IN).length
    await until(() => pings(firmware) > 3 && pings(system) > 1, "pings came")
    system.answersPings = false
    await system.closed
    expect(await firmware.nop(Buffer.from("alive"))).toEqual(Buffer.from("alive"))
  })

  it("whose disk is taken away is asked to log out, and closed", async () => {
    const s = await start()
    const client = await s.connect()
    s.disks.revoke("client/PC-001/0")
    await client.closed
    expect(client.unasked.map((r) => [r.opcode, r.head[36]])).toEqual([[pdu.ASYNC_MESSAGE, pdu.ASYNC_LOGOUT]])
    await until(() => s.server.connections() === 0, "the connection is over")
  })

  it("that is cut off in the middle of a write lets it end, then gives its lease back", async () => {
    const s = await start()
    const client = await ready(await s.connect())
    s.device.hold()
    void client.write(0, Buffer.alloc(512, 8)).catch(() => undefined)
    await client.nop(Buffer.alloc(0))
    client.destroy()
    await new Promise((r) => setTimeout(r, 20))
    expect(s.disks.leases("client/PC-001/0")).toBe(1)
    s.device.letGo()
    await until(() => s.disks.leases("client/PC-001/0") === 0, "the lease was given back")
  })

  it("that does not read is not served beyond its budget, and others are", async () => {
    const s = await start()
    const [deaf, other] = [await ready(await s.connect()), await ready(await s.connect())]
    deaf.pause()
    s.device.recording = true
    for (let i = 0; i < 120; i++) {
      const head = deaf.header(pdu.SCSI_COMMAND, pdu.FINAL | pdu.COMMAND_READ, deaf.nextTag(), 0, false)
      head.writeUInt32BE(256 * KiB, 20)
      head.set(blockCdb(0x88, 0, 256 * KiB), 32)
      deaf.send(head, Buffer.alloc(0))
    }
    for (let i = 0; i < 50; i++) expect((await other.read(0, 4096)).length).toBe(4096)
    const served = s.device.calls.filter((c) => c.length === 256 * KiB).length
    // What the kernel's buffers hold, and 1 MiB of ours; never all.
    expect(served).toBeGreaterThan(0)
    expect(served).toBeLessThan(100)
  })
})

describe("errors of the disk", () => {
  it.each([
    [fail("MEDIUM_ERROR", { offset: 1024, length: 512 }), [0xf0, 3, 0x1100, 2]],
    [fail("NO_SPACE", { offset: 0 }), [0xf0, 7, 0x2707, 0]],
    [fail("READ_ONLY", {}), [0x70, 7, 0x2700, 0]],
    [fail("OVERLAY_RETIRED", { client: "PC-001", slot: 0 }), [0x70, 2, 0x0400, 0]],
    [fail("IO_ERROR", {}), [0x70, 4, 0x4400, 0]],
  ])("%s become sense data", async (error, wanted) => {
    const s = await start({ missRate: 1 })
    const client = await ready(await s.connect())
    s.device.failNext(error)
    const { status, sense } = await client.command({ cdb: blockCdb(0x88, 0, 4096), reads: 4096 })
    expect(status).toBe(2)
    expect([sense![0], sense![2], sense!.readUInt16BE(12), sense!.readUInt32BE(3)]).toEqual(wanted)
  })

  it("a read-only disk refuses writes and says so beforehand", async () => {
    const s = await start({ features: { writable: false } })
    const client = await ready(await s.connect())
    const { sense } = await client.command({ cdb: blockCdb(0x8a, 0, 512), writes: Buffer.alloc(512) })
    expect(sense?.readUInt16BE(12)).toBe(0x2700)
    const mode = await client.command({ cdb: [0x1a, 8, 0x3f, 0, 255], reads: 255 })
    expect(mode.data[2]! & 0x80).toBe(0x80)
  })
})
