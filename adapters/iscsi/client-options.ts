/** What an initiator of ours is told, asks and is answered. */
import type { LoginOptions } from "./client-login.ts"

export interface IscsiClientOptions {
  readonly host: string
  readonly port: number
  /** One of this machine's; else the routes choose. */
  readonly localAddress?: string
  /** Undefined: a discovery session. */
  readonly target?: string
  readonly lun?: number
  readonly initiator?: string
  readonly isid?: Uint8Array
  /** Operational keys to offer instead of, or besides, the usual ones. */
  readonly keys?: Readonly<Record<string, string>>
  readonly chap?: LoginOptions["chap"]
  readonly steps?: 1 | 2
  readonly cmdSN?: number
  readonly tsih?: number
}

export interface CommandResult {
  readonly status: number
  readonly sense: Buffer | undefined
  readonly data: Buffer
  /** Positive: overflow; negative: underflow. */
  readonly residual: number
}

export interface ScsiRequest {
  readonly cdb: ReadonlyArray<number> | Uint8Array
  readonly lun?: number
  /** Bytes the initiator expects. */
  readonly reads?: number
  /** Where they go, if there is a place of that size; else into a new one. */
  readonly into?: Buffer
  readonly writes?: Uint8Array
  /** Expected Data Transfer Length, when it is to differ from what is sent. */
  readonly expected?: number
  readonly immediate?: boolean
  readonly attribute?: number
}

/** A PDU as it came. */
export interface Received {
  readonly opcode: number
  readonly head: Buffer
  readonly data: Buffer
}

/** What is offered where nothing else is asked for. */
export const usualKeys = {
  HeaderDigest: "None",
  DataDigest: "None",
  MaxConnections: "1",
  InitialR2T: "No",
  ImmediateData: "Yes",
  MaxRecvDataSegmentLength: "262144",
  MaxBurstLength: "16776192",
  FirstBurstLength: "262144",
  DefaultTime2Wait: "0",
  DefaultTime2Retain: "0",
  MaxOutstandingR2T: "1",
  DataPDUInOrder: "Yes",
  DataSequenceInOrder: "Yes",
  ErrorRecoveryLevel: "0",
}
