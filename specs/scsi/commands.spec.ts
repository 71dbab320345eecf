/** SCSI commands through a nexus, without a network: answers byte by byte, at the bounds of SPC-4 and SBC-3. */
import { describe, expect, it } from "vitest"
import { type Completion, ScsiNexus } from "../../adapters/scsi/nexus.ts"
import { EXCLUSIVE_ACCESS } from "../../adapters/scsi/reservations.ts"
import { encodeSense } from "../../adapters/scsi/sense.ts"
import { commandTable } from "../../adapters/scsi/table.ts"
import { parseTransportId, transportId } from "../../adapters/scsi/transport-id.ts"
import { LogicalUnit, UnitView } from "../../adapters/scsi/unit.ts"
import type { DeviceChange } from "../../core/block/device.ts"
import { MemoryDevice } from "../support/memory-disks.ts"

const BLOCKS = 1024

const nexusOf = (
  device = new MemoryDevice({ sizeBytes: BLOCKS * 512 }),
  unit = new LogicalUnit("u", "client/0"),
  name = "a",
) => {
  const port = `iqn.2026-11.test:${name},i,0x800000000001`
  const nexus = new ScsiNexus("iqn.2026-11.io.imagelink:pc-001", port)
  const view = new UnitView({ lun: 0, unit, device, port, abortTasks: () => {} })
  nexus.views.set(0, view)
  const run = async (
    cdb: ReadonlyArray<number>,
    data: Uint8Array = new Uint8Array(0),
    lun = 0,
  ): Promise<Completion> => {
    const whole = Buffer.alloc(16)
    whole.set(cdb)
    return nexus.run(lun, whole, data)
  }
  /** Status, sense key and code. */
  const sense = async (...args: Parameters<typeof run>) => {
    const c = await run(...args)
    return c.sense === undefined ? [c.status] : [c.status, c.sense[2], Buffer.from(c.sense).readUInt16BE(12)]
  }
  return { device, unit, nexus, view, run, sense }
}

const u32 = (n: number) => [(n >>> 24) & 255, (n >>> 16) & 255, (n >>> 8) & 255, n & 255]
const GOOD = [0]
const LBA_OUT_OF_RANGE = [2, 5, 0x2100]
const INVALID_FIELD = [2, 5, 0x2400]

describe("INQUIRY", () => {
  it("says what never changes", async () => {
    const { run } = nexusOf()
    const { data } = await run([0x12, 0, 0, 0, 96])
    expect(Buffer.from(data!).toString("hex")).toBe(
      "000006125b080002494d474c494e4b20496d6167656c696e6b206469736b202030303031" +
        "0".repeat(44) +
        "00a0096004600" +
        "4c0".padEnd(63, "0"),
    )
  })

  it.each([0, 1, 4, 5, 36, 96, 255])("is cut to an allocation length of %i", async (length) => {
    const { run } = nexusOf()
    expect((await run([0x12, 0, 0, 0, length])).data?.length ?? 0).toBe(Math.min(length, 96))
  })

  it("of the unit's names gives the same for the same client and slot, whatever the generation", async () => {
    const page = async (unit: LogicalUnit) =>
      Buffer.from((await nexusOf(undefined, unit).run([0x12, 1, 0x83, 0, 255])).data!).toString("hex")
    const [one, two, three] = [
      await page(new LogicalUnit("g1", "client/0")),
      await page(new LogicalUnit("g2", "client/0")),
      await page(new LogicalUnit("g1", "client/1")),
    ]
    expect(one).toBe(two)
    expect(one).not.toBe(three)
  })

  it("of a page that is not there, or of a page without EVPD, is refused", async () => {
    const { sense } = nexusOf()
    expect(await sense([0x12, 1, 0xb9, 0, 255])).toEqual(INVALID_FIELD)
    expect(await sense([0x12, 0, 0x80, 0, 255])).toEqual(INVALID_FIELD)
  })

  it("at a LUN that is not there says so", async () => {
    const { run, sense } = nexusOf()
    expect((await run([0x12, 0, 0, 0, 36], undefined, 7)).data?.[0]).toBe(0x7f)
    expect(await sense([0], undefined, 7)).toEqual([2, 5, 0x2500])
    expect((await run([0x03, 0, 0, 0, 18], undefined, 7)).data?.[12]).toBe(0x25)
  })
})

describe("a range of blocks", () => {
  const cdbs: ReadonlyArray<readonly [string, (lba: number, blocks: number) => ReadonlyArray<number>]> = [
    ["READ(10)", (lba, n) => [0x28, 0, ...u32(lba), 0, n >> 8, n & 255]],
    ["READ(12)", (lba, n) => [0xa8, 0, ...u32(lba), ...u32(n)]],
    ["READ(16)", (lba, n) => [0x88, 0, 0, 0, 0, 0, ...u32(lba), ...u32(n)]],
    ["VERIFY(10)", (lba, n) => [0x2f, 0, ...u32(lba), 0, n >> 8, n & 255]],
    ["SYNCHRONIZE CACHE(10)", (lba, n) => [0x35, 0, ...u32(lba), 0, n >> 8, n & 255]],
    ["PRE-FETCH(16)", (lba, n) => [0x90, 0, 0, 0, 0, 0, ...u32(lba), ...u32(n)]],
  ]
  it.each(cdbs)("of %s ends at the last block", async (_name, cdb) => {
    const { sense } = nexusOf()
    expect(await sense(cdb(0, 1))).toEqual(GOOD)
    expect(await sense(cdb(BLOCKS - 1, 1))).toEqual(GOOD)
    expect(await sense(cdb(0, BLOCKS))).toEqual(GOOD)
    expect(await sense(cdb(BLOCKS, 0))).toEqual(GOOD)
    expect(await sense(cdb(BLOCKS - 1, 2))).toEqual(LBA_OUT_OF_RANGE)
    expect(await sense(cdb(BLOCKS, 1))).toEqual(LBA_OUT_OF_RANGE)
    expect(await sense(cdb(0xffff_ffff, 1))).toEqual(LBA_OUT_OF_RANGE)
  })

  it("beyond 2^53 is out of range as any other", async () => {
    const { sense } = nexusOf()
    expect(await sense([0x88, 0, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 1])).toEqual(LBA_OUT_OF_RANGE)
  })

  it("READ(6) of 0 blocks is of 256", async () => {
    const { run } = nexusOf()
    expect((await run([0x08, 0, 0, 0, 0])).data?.length).toBe(256 * 512)
  })

  it("with protection asked for, NACA, or longer than a transfer may be is refused", async () => {
    const { sense } = nexusOf(new MemoryDevice({ sizeBytes: 40 * 2 ** 20 }))
    expect(await sense([0x28, 0x20, 0, 0, 0, 0, 0, 0, 1])).toEqual(INVALID_FIELD)
    expect(await sense([0x28, 0, 0, 0, 0, 0, 0, 0, 1, 4])).toEqual(INVALID_FIELD)
    expect(await sense([0xa8, 0, 0, 0, 0, 0, ...u32(65_537)])).toEqual(INVALID_FIELD)
  })
})

describe("WRITE SAME, UNMAP and COMPARE AND WRITE", () => {
  it("write the block over and over, or zeros", async () => {
    const { device, sense } = nexusOf()
    expect(await sense([0x41, 0, 0, 0, 0, 1, 0, 0, 3], Buffer.alloc(512, 7))).toEqual(GOOD)
    expect([device.bytes[511], device.bytes[512], device.bytes[2047], device.bytes[2048]]).toEqual([0, 7, 7, 0])
    expect(await sense([0x93, 0x09, 0, 0, 0, 0, 0, 0, 0, 1, ...u32(2)])).toEqual(GOOD)
    expect([device.bytes[512], device.bytes[1535], device.bytes[1536]]).toEqual([0, 0, 7])
  })

  it("refuse no blocks, ANCHOR, and data of another size, and touch nothing", async () => {
    const { device, sense } = nexusOf()
    expect(await sense([0x41, 0, 0, 0, 0, 0, 0, 0, 0], Buffer.alloc(512, 7))).toEqual(INVALID_FIELD)
    expect(await sense([0x41, 0x18, 0, 0, 0, 0, 0, 0, 1], Buffer.alloc(512, 7))).toEqual(INVALID_FIELD)
    expect(await sense([0x41, 0, 0, 0, 0, 0, 0, 0, 1], Buffer.alloc(1024, 7))).toEqual(INVALID_FIELD)
    expect(device.bytes.every((b) => b === 0)).toBe(true)
  })

  it("unmap to zeros, aligned or not; a bad descriptor unmaps nothing", async () => {
    const { device, sense } = nexusOf()
    device.put(0, Buffer.alloc(BLOCKS * 512, 5))
    const list = (...ranges: ReadonlyArray<readonly [number, number]>) => {
      const b = Buffer.alloc(8 + 16 * ranges.length)
      b.writeUInt16BE(b.length - 2, 0)
      b.writeUInt16BE(b.length - 8, 2)
      for (const [i, [lba, blocks]] of ranges.entries()) {
        b.writeUInt32BE(lba, 8 + 16 * i + 4)
        b.writeUInt32BE(blocks, 8 + 16 * i + 8)
      }
      return b
    }
    const unmap = (b: Buffer) => sense([0x42, 0, 0, 0, 0, 0, 0, b.length >> 8, b.length & 255], b)
    expect(await unmap(list([0, 1], [BLOCKS, 1]))).toEqual(LBA_OUT_OF_RANGE)
    expect(device.bytes[0]).toBe(5)
    expect(await unmap(list([0, 1], [3, 0], [BLOCKS - 1, 1]))).toEqual(GOOD)
    expect([device.bytes[0], device.bytes[511], device.bytes[512], device.bytes[1536], device.bytes.at(-1)]).toEqual([
      0, 0, 5, 5, 0,
    ])
  })

  it("compare first, and tell where it differs", async () => {
    const { device, run, sense } = nexusOf()
    const caw = [0x89, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]
    expect(await sense(caw, Buffer.concat([Buffer.alloc(512), Buffer.alloc(512, 3)]))).toEqual(GOOD)
    expect(device.bytes[0]).toBe(3)
    const wrong = Buffer.alloc(1024, 3)
    wrong[100] = 4
    const { sense: told } = await run(caw, wrong)
    expect([told![0], told![2], Buffer.from(told!).readUInt32BE(3)]).toEqual([0xf0, 0x0e, 100])
  })
})

describe("mode pages", () => {
  it("change what may be changed, for everybody, who are told; and nothing else", async () => {
    const a = nexusOf()
    const b = nexusOf(a.device, a.unit, "b")
    const caching = Buffer.alloc(24)
    caching.set([0x08, 18, 0x00], 4)
    expect(await a.sense([0x15, 0x10, 0, 0, 24], caching)).toEqual(GOOD)
    expect(await b.sense([0])).toEqual([2, 6, 0x2a01])
    expect((await b.run([0x1a, 8, 0x08, 0, 255])).data?.[6]).toBe(0)
    caching[6] = 0x01
    expect(await a.sense([0x15, 0x10, 0, 0, 24], caching)).toEqual([2, 5, 0x2600])
    expect(await a.sense([0x15, 0x11, 0, 0, 24], caching)).toEqual(INVALID_FIELD)
    expect(await a.sense([0x1a, 8, 0xc8, 0, 255])).toEqual([2, 5, 0x3900])
    expect(await a.sense([0x1a, 8, 0x19, 0, 255])).toEqual(INVALID_FIELD)
  })

  it("write protect, and sense data in descriptor format", async () => {
    const { run, sense } = nexusOf()
    const control = Buffer.alloc(16)
    control.set([0x0a, 10, 0x04, 0x10, 0x08], 4)
    expect(await sense([0x15, 0x10, 0, 0, 16], control)).toEqual(GOOD)
    const { sense: told } = await run([0x2a, 0, 0, 0, 0, 0, 0, 0, 1], Buffer.alloc(512))
    expect([...told!.subarray(0, 4)]).toEqual([0x72, 7, 0x27, 0])
  })
})

describe("a unit", () => {
  it("that was stopped is not ready until it is started; what it holds was flushed", async () => {
    const { device, sense, view } = nexusOf()
    device.recording = true
    expect(await sense([0x1b, 0, 0, 0, 0])).toEqual(GOOD)
    expect(device.calls.map((c) => c.op)).toEqual(["flush"])
    expect(view.clear).toBe(false)
    expect(await sense([0])).toEqual([2, 2, 0x0402])
    expect(await sense([0x1b, 0, 0, 0, 1])).toEqual(GOOD)
    expect(await sense([0])).toEqual(GOOD)
  })

  it("reserved by RESERVE(6) answers others with a conflict, until it is released", async () => {
    const a = nexusOf()
    const b = nexusOf(a.device, a.unit, "b")
    expect(await a.sense([0x16])).toEqual(GOOD)
    expect(await b.sense([0])).toEqual([0x18])
    expect(await b.sense([0x17])).toEqual(GOOD)
    expect(await b.sense([0x12, 0, 0, 0, 36])).toEqual(GOOD)
    expect(await b.sense([0x16])).toEqual([0x18])
    a.view.leave()
    expect(await b.sense([0])).toEqual(GOOD)
  })

  it("tells attentions in order, a reset instead of all before it, each once", async () => {
    const { view, sense } = nexusOf()
    view.attend(0x2a01)
    view.attend(0x2a01)
    view.attend(0x2a09)
    expect(await sense([0])).toEqual([2, 6, 0x2a01])
    view.attend(0x2900)
    expect(await sense([0x12, 0, 0, 0, 36])).toEqual(GOOD)
    expect(await sense([0])).toEqual([2, 6, 0x2900])
    expect(await sense([0])).toEqual(GOOD)
  })
})

describe("a change of the disk", () => {
  it.each([
    ["capacity", 0x2a09],
    ["media", 0x2800],
  ] as const)("of its %s is told to every session, once", async (change, code) => {
    const device = new MemoryDevice({ sizeBytes: BLOCKS * 512 })
    const listeners: Array<(change: DeviceChange) => void> = []
    device.onChange = (listener) => {
      listeners.push(listener)
      return () => {}
    }
    const a = nexusOf(device)
    const b = nexusOf(device, a.unit, "b")
    for (const tell of listeners) tell(change)
    for (const each of [a, b]) {
      expect(await each.sense([0])).toEqual([2, 6, code])
      expect(await each.sense([0])).toEqual(GOOD)
    }
  })
})

describe("PREVENT ALLOW MEDIUM REMOVAL", () => {
  it("of somebody else conflicts with a reservation when it prevents, not when it allows", async () => {
    const a = nexusOf()
    const b = nexusOf(a.device, a.unit, "b")
    expect(a.unit.reservations.register(a.view.port, 0n, 1n, false)).not.toBe("conflict")
    expect(a.unit.reservations.reserve(a.view.port, 1n, EXCLUSIVE_ACCESS)).not.toBe("conflict")
    expect(await b.sense([0x1e, 0, 0, 0, 1])).toEqual([0x18])
    expect(await b.sense([0x1e, 0, 0, 0, 0])).toEqual(GOOD)
    expect(await a.sense([0x1e, 0, 0, 0, 1])).toEqual(GOOD)
  })
})

describe("the table of commands", () => {
  it("is in order, each once, and its usage data names its opcode and is as long as its CDB", () => {
    const keys = commandTable.map((s) => s.opcode * 256 + (s.action ?? 0))
    expect(keys).toEqual([...new Set(keys)].sort((a, b) => a - b))
    for (const s of commandTable) expect([6, 10, 12, 16], s.name).toContain(s.usage.length)
  })

  it("is what REPORT SUPPORTED OPERATION CODES says", async () => {
    const { run } = nexusOf()
    const all = Buffer.from((await run([0xa3, 0x0c, 0, 0, 0, 0, 0, 0, 255, 255])).data!)
    expect(all.readUInt32BE(0)).toBe(commandTable.length * 8)
    const one = Buffer.from((await run([0xa3, 0x0c, 1, 0x28, 0, 0, 0, 0, 0, 255])).data!)
    expect(one.toString("hex")).toBe("0003000a28f8ffffffff00ffff00")
  })

  it("refuses by name what is not in it: SANITIZE, an unknown service action", async () => {
    const { sense } = nexusOf()
    expect(await sense([0x48, 1])).toEqual([2, 5, 0x2000])
    expect(await sense([0x9e, 0x11])).toEqual(INVALID_FIELD)
  })

  it.each(Array.from({ length: 256 }, (_, opcode) => opcode))(
    "answers opcode %i whatever else the CDB says",
    async (opcode) => {
      const { run, device } = nexusOf()
      for (const fill of [0x00, 0xff, 0x55]) {
        const { status } = await run([opcode, ...new Array<number>(15).fill(fill)], Buffer.alloc(1024, fill))
        expect([0, 2, 4, 0x18]).toContain(status)
      }
      expect(device.sizeBytes).toBe(BLOCKS * 512)
    },
  )
})

it("sense data carries an LBA above 32 bits only where it fits", () => {
  const sense = { key: 3, code: 0x1100, information: 2 ** 32 }
  expect(encodeSense(sense, false).toString("hex")).toBe("70000300000000" + "0a" + "00000000" + "1100" + "00000000")
  expect(encodeSense(sense, true).toString("hex")).toBe("72031100" + "0000000c" + "000a8000" + "0000000100000000")
})

it("a TransportID reads back, and another protocol's does not", () => {
  const port = "iqn.2026-11.test:a,i,0x800000000001"
  expect(parseTransportId(transportId(port))).toBe(port)
  expect(transportId(port).length % 4).toBe(0)
  const other = transportId(port)
  other[0] = 0x00
  expect(parseTransportId(other)).toBeUndefined()
})
