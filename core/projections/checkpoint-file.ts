/**
 * A projection's checkpoint as bytes: where it is, on which history, and its state, under a checksum.
 *
 *     imagelink-checkpoint 1 <CRC-32C of what follows the line, 8 hex digits>\n
 *     {"name":…,"version":…,"storeId":…,"position":…,"command":…,"unknown":[[type,schemaVersion,count],…],"state":…}
 *
 * **Details** A checkpoint is only ever a shortcut: what is damaged, foreign or from another version is ignored, and the projection is
 * folded from the log. `command` is that of the event at `position`; a log that holds another one there has another history, as after
 * restoring an older backup. A CRC is enough, because nothing is proved from a checkpoint. Unknown events are counted in it, because a version that knows them must fold them.
 */
import { crc32c } from "../bytes.ts"

export interface Checkpoint {
  readonly name: string
  readonly version: number
  readonly storeId: string
  readonly position: number
  /** Command id of the event at `position`; empty at 0. */
  readonly command: string
  readonly unknown: ReadonlyArray<readonly [type: string, schemaVersion: number, count: number]>
  readonly state: unknown
}

const magic = "imagelink-checkpoint 1 "
const headChars = magic.length + 8 + 1

const checksum = (body: Uint8Array): string => crc32c(body).toString(16).padStart(8, "0")

export const encodeCheckpoint = (checkpoint: Checkpoint): Uint8Array => {
  const { name, version, storeId, position, command, unknown, state } = checkpoint
  const body = Buffer.from(JSON.stringify({ name, version, storeId, position, command, unknown, state }))
  return Buffer.concat([Buffer.from(`${magic}${checksum(body)}\n`), body])
}

/** The checkpoint, or why these bytes are none. */
export const decodeCheckpoint = (bytes: Uint8Array): Checkpoint | string => {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const head = buffer.toString("latin1", 0, headChars)
  if (head.length < headChars || !head.startsWith(magic) || !head.endsWith("\n")) return "it is not a checkpoint"
  const body = buffer.subarray(headChars)
  if (checksum(body) !== head.slice(magic.length, -1)) return "its bytes do not match their checksum"
  return JSON.parse(body.toString("utf8")) as Checkpoint
}
