/** What a command is given and what it answers, and the helpers that every command uses. */
import type { BlockDevice } from "../../core/block/device.ts"
import { readU16, readU32 } from "../../core/bytes.ts"
import { GOOD, parameterListLengthError } from "./sense.ts"
import type { UnitView } from "./unit.ts"

/** Who asks, of which target, and what both have between them. */
export interface Nexus {
  readonly targetName: string
  /** `<initiator name>,i,0x<ISID>`. */
  readonly port: string
  /** The units of this nexus by LUN: what EXTENDED COPY may copy between. */
  readonly views: ReadonlyMap<number, UnitView>
  /** Finished copies by list identifier, until they are asked about. */
  readonly copies: Map<number, CopyResult>
}

/** What RECEIVE COPY RESULTS tells of a finished copy. */
export interface CopyResult {
  readonly failed: boolean
  readonly segments: number
  readonly bytes: number
}

export interface Command {
  readonly nexus: Nexus
  readonly view: UnitView
  readonly device: BlockDevice
  /** 16 bytes, those past its length being zero. */
  readonly cdb: Uint8Array
  /** Data-Out as far as the initiator sent it; at most what `takes` said. */
  readonly data: Uint8Array
  readonly signal: AbortSignal
  readonly table: ReadonlyArray<CommandSpec>
}

/** How a reservation of somebody else affects a command (SPC-4 table 66, SBC-3 table 13). */
export type Access = "always" | "read" | "write" | "own"

/** One command of the table: what it is called, which bits of its CDB mean something, and what carries it out. */
export interface CommandSpec {
  readonly name: string
  readonly opcode: number
  readonly action?: number
  /** CDB usage data (SPC-4 §6.35.3): the opcode, then a one for each bit that is looked at. As long as the CDB. */
  readonly usage: Uint8Array
  readonly access: Access
  /** Needs the medium to be there and started. */
  readonly medium: boolean
  /** Changes the medium: refused on a write-protected unit. */
  readonly changes: boolean
  /** Bytes of Data-Out. */
  readonly takes: (cdb: Uint8Array, blockBytes: number) => number
  /** The field that says how much data comes; what the transport announces must agree with it. */
  readonly exactly: number | undefined
  readonly run: (c: Command) => Reply | Promise<Reply>
}

export interface Reply {
  readonly status: number
  /** Data-In, already cut to the allocation length. */
  readonly data?: Uint8Array
}

export const done: Reply = { status: GOOD }

/** SPC-4 §4.2.5.6: never more than the allocation length; less is no error. */
export const allocated = (data: Uint8Array, allocation: number): Reply => ({
  status: GOOD,
  data: data.length <= allocation ? data : data.subarray(0, allocation),
})

export const cdb16 = (c: Command, at: number): number => readU16(c.cdb, at)
export const cdb32 = (c: Command, at: number): number => readU32(c.cdb, at)

/** A parameter list that must have come whole. @throws CheckCondition PARAMETER LIST LENGTH ERROR */
export const wholeParameters = (c: Command, bytes: number): void => {
  if (c.data.length < bytes) throw parameterListLengthError()
}
