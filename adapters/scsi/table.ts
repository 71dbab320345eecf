/**
 * Every command that is carried out, in the order of its opcode: the one place that says what there is.
 *
 * REPORT SUPPORTED OPERATION CODES is this table. What is not in it is refused: INVALID COMMAND OPERATION CODE for an opcode, INVALID FIELD IN
 * CDB for a service action. READ and WRITE stand here for the report and the slow path; the fast path is the session's.
 */
import * as block from "./block-commands.ts"
import { getLbaStatus, readCapacity10, readCapacity16 } from "./capacity.ts"
import { type Access, allocated, type CommandSpec, type Reply } from "./command.ts"
import { COPY_STATUS, copyStatus, extendedCopy, OPERATING_PARAMETERS, operatingParameters } from "./extended-copy.ts"
import { inquiry } from "./inquiry.ts"
import { modeSelect6, modeSelect10, modeSense6, modeSense10 } from "./modes.ts"
import * as op from "./opcodes.ts"
import { persistentReserveIn, persistentReserveOut, release6, reserve6 } from "./persistent-reserve.ts"
import * as reports from "./reports.ts"
import { GOOD } from "./sense.ts"
import { readBlocksOf, writeBlocksOf } from "./transfer-commands.ts"

const none = () => 0
const blocksOf = block.rangeBytes
const hex = (text: string) => Buffer.from(text.replaceAll(" ", ""), "hex")

interface More {
  readonly action?: number
  readonly medium?: boolean
  readonly changes?: boolean
  readonly takes?: CommandSpec["takes"]
  readonly exactly?: number
}

const spec = (name: string, usage: string, access: Access, run: CommandSpec["run"], more: More = {}): CommandSpec => {
  const bytes = hex(usage)
  return {
    name,
    opcode: bytes[0]!,
    usage: bytes,
    access,
    medium: more.medium ?? false,
    changes: more.changes ?? false,
    takes: more.takes ?? none,
    exactly: more.exactly,
    run,
    ...(more.action === undefined ? {} : { action: more.action }),
  }
}

const medium = { medium: true }
const writes = (takes: CommandSpec["takes"] = none): More => ({ medium: true, changes: true, takes })
const parameters = (at: number, bytes: 1 | 2 | 4): More => ({
  takes: (cdb) => {
    let n = 0
    for (let i = 0; i < bytes; i++) n = n * 256 + cdb[at + i]!
    return n
  },
})
/** INQUIRY, REPORT LUNS and REQUEST SENSE are answered by the nexus, also where no unit is. */
const byNexus = (): Reply => allocated(new Uint8Array(0), GOOD)

export const commandTable: ReadonlyArray<CommandSpec> = [
  spec("TEST UNIT READY", "00 00000000 00", "always", reports.testUnitReady, medium),
  spec("REQUEST SENSE", "03 010000ff 00", "always", byNexus),
  spec("READ(6)", "08 1fffffff 00", "read", readBlocksOf, medium),
  spec(
    "WRITE(6)",
    "0a 1fffffff 00",
    "write",
    writeBlocksOf,
    writes((cdb, b) => (cdb[4] || 256) * b),
  ),
  spec("INQUIRY", "12 01ffffff 00", "always", inquiry),
  spec("MODE SELECT(6)", "15 110000ff 00", "write", modeSelect6, parameters(4, 1)),
  spec("RESERVE(6)", "16 00000000 00", "own", reserve6),
  spec("RELEASE(6)", "17 00000000 00", "own", release6),
  spec("MODE SENSE(6)", "1a 08ffffff 00", "read", modeSense6),
  spec("START STOP UNIT", "1b 010000f7 00", "write", reports.startStopUnit),
  spec("PREVENT ALLOW MEDIUM REMOVAL", "1e 00000003 00", "write", reports.preventAllow),
  spec("READ CAPACITY(10)", "25 00ffffffff 0000 01 00", "always", readCapacity10, medium),
  spec("READ(10)", "28 f8ffffffff 00 ffff 00", "read", readBlocksOf, medium),
  spec("WRITE(10)", "2a f8ffffffff 00 ffff 00", "write", writeBlocksOf, writes(blocksOf)),
  spec("WRITE AND VERIFY(10)", "2e f2ffffffff 00 ffff 00", "write", block.writeAndVerify, writes(blocksOf)),
  spec("VERIFY(10)", "2f f6ffffffff 00 ffff 00", "read", block.verify, { medium: true, takes: block.verifyTakes }),
  spec("PRE-FETCH(10)", "34 02ffffffff 00 ffff 00", "read", block.preFetch, medium),
  spec("SYNCHRONIZE CACHE(10)", "35 02ffffffff 00 ffff 00", "write", block.synchronizeCache, medium),
  spec("READ DEFECT DATA(10)", "37 001f00000000 ffff 00", "read", reports.readDefectData10, medium),
  spec("WRITE SAME(10)", "41 e8ffffffff 00 ffff 00", "write", block.writeSame, {
    ...writes(block.writeSameTakes),
    exactly: 7,
  }),
  spec("UNMAP", "42 00000000 00 00 ffff 00", "write", block.unmap, { ...writes(), ...parameters(7, 2) }),
  spec("MODE SELECT(10)", "55 1100000000 00 ffff 00", "write", modeSelect10, parameters(7, 2)),
  spec("MODE SENSE(10)", "5a 18ffff0000 00 ffff 00", "read", modeSense10),
  ...[0, 1, 2, 3].map((action) =>
    spec(
      `PERSISTENT RESERVE IN ${action}`,
      `5e ${action.toString(16).padStart(2, "0")}00000000 00 ffff 00`,
      "own",
      persistentReserveIn,
      { action },
    ),
  ),
  ...[0, 1, 2, 3, 4, 5, 6, 7].map((action) =>
    spec(
      `PERSISTENT RESERVE OUT ${action}`,
      `5f ${action.toString(16).padStart(2, "0")}ff0000 ffffffff 00`,
      "own",
      persistentReserveOut,
      { action, ...parameters(5, 4) },
    ),
  ),
  spec("EXTENDED COPY(LID1)", "83 1f0000000000000000 ffffffff 00 00", "own", extendedCopy, {
    medium: true,
    ...parameters(10, 4),
  }),
  spec("RECEIVE COPY STATUS(LID1)", "84 00ff00000000000000 ffffffff 00 00", "own", copyStatus, { action: COPY_STATUS }),
  spec("RECEIVE COPY OPERATING PARAMETERS", "84 030000000000000000 ffffffff 00 00", "own", operatingParameters, {
    action: OPERATING_PARAMETERS,
  }),
  spec("READ(16)", "88 f8ffffffffffffffff ffffffff 00 00", "read", readBlocksOf, medium),
  spec("COMPARE AND WRITE", "89 f8ffffffffffffffff 000000 ff 00 00", "write", block.compareAndWrite, {
    ...writes(block.compareAndWriteTakes),
    exactly: 13,
  }),
  spec("WRITE(16)", "8a f8ffffffffffffffff ffffffff 00 00", "write", writeBlocksOf, writes(blocksOf)),
  spec("ORWRITE(16)", "8b f8ffffffffffffffff ffffffff 00 00", "write", block.orWrite, writes(blocksOf)),
  spec("WRITE AND VERIFY(16)", "8e f2ffffffffffffffff ffffffff 00 00", "write", block.writeAndVerify, writes(blocksOf)),
  spec("VERIFY(16)", "8f f6ffffffffffffffff ffffffff 00 00", "read", block.verify, {
    medium: true,
    takes: block.verifyTakes,
  }),
  spec("PRE-FETCH(16)", "90 02ffffffffffffffff ffffffff 00 00", "read", block.preFetch, medium),
  spec("SYNCHRONIZE CACHE(16)", "91 02ffffffffffffffff ffffffff 00 00", "write", block.synchronizeCache, medium),
  spec("WRITE SAME(16)", "93 e9ffffffffffffffff ffffffff 00 00", "write", block.writeSame, {
    ...writes(block.writeSameTakes),
    exactly: 10,
  }),
  spec("READ CAPACITY(16)", "9e 10ffffffffffffffff ffffffff 01 00", "always", readCapacity16, {
    action: op.SA_READ_CAPACITY_16,
    medium: true,
  }),
  spec("GET LBA STATUS", "9e 12ffffffffffffffff ffffffff 00 00", "read", getLbaStatus, {
    action: op.SA_GET_LBA_STATUS,
    medium: true,
  }),
  spec("REPORT LUNS", "a0 00ff000000 ffffffff 00 00", "always", byNexus),
  spec("REPORT SUPPORTED OPERATION CODES", "a3 0c87ffffff ffffffff 00 00", "always", reports.reportSupportedOpcodes, {
    action: op.SA_REPORT_SUPPORTED_OPCODES,
  }),
  spec(
    "REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS",
    "a3 0d80000000 ffffffff 00 00",
    "always",
    reports.reportSupportedTmfs,
    {
      action: op.SA_REPORT_SUPPORTED_TMFS,
    },
  ),
  spec("READ(12)", "a8 f8ffffffff ffffffff 00 00", "read", readBlocksOf, medium),
  spec("WRITE(12)", "aa f8ffffffff ffffffff 00 00", "write", writeBlocksOf, writes(blocksOf)),
  spec("WRITE AND VERIFY(12)", "ae f2ffffffff ffffffff 00 00", "write", block.writeAndVerify, writes(blocksOf)),
  spec("VERIFY(12)", "af f6ffffffff ffffffff 00 00", "read", block.verify, { medium: true, takes: block.verifyTakes }),
  spec("READ DEFECT DATA(12)", "b7 1f00000000 ffffffff 00 00", "read", reports.readDefectData12, medium),
]

/** By opcode; those with service actions hold several. */
const byOpcode = new Map<number, ReadonlyArray<CommandSpec>>()
for (const one of commandTable) byOpcode.set(one.opcode, [...(byOpcode.get(one.opcode) ?? []), one])

/** The service action is the low five bits of byte 1 wherever there is one (SPC-4 §4.2.2). */
export const findCommand = (cdb: Uint8Array): CommandSpec | "opcode" | "action" => {
  const found = byOpcode.get(cdb[0]!)
  if (found === undefined) return "opcode"
  if (found[0]!.action === undefined) return found[0]!
  return found.find((s) => s.action === (cdb[1]! & 0x1f)) ?? "action"
}
