/**
 * Reads what can be read of a database folder, and changes nothing: every event and index entry in it, whole or damaged as it may be.
 *
 *     the scan passes ─► the live tables, and the whole records of the live logs: what LevelDB would show
 *     it does not     ─► every file; of a log that is not whole, all that its frames still hold together
 *
 * **Details** Everything is held in memory, about 2.5 KiB an event with what it is compared with. A position may be found with several contents, as when somebody wrote
 * an event anew; which one counts is not decided here.
 */
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { type ImagelinkError, isImagelinkError } from "../../errors.ts"
import type { CommandEntry } from "../command-index.ts"
import { parse } from "../envelope.ts"
import { readLogFile } from "../leveldb/frames.ts"
import { liveFiles, scanDatabase } from "../leveldb/scan.ts"
import { carve, isEvent } from "./carve.ts"
import { positionOf } from "./fields.ts"

export interface Salvaged {
  /** What was found under each position: one content, unless something is wrong. */
  readonly events: Map<number, ReadonlyArray<Uint8Array>>
  readonly commands: Map<string, CommandEntry>
  /** What the scan says is wrong with the folder. */
  readonly damage: ImagelinkError | undefined
}

/** `head` is the acknowledged position, as far as it is known. */
export const salvage = (dir: string, head: number): Salvaged => {
  const damage = damageOf(dir, head)
  const found: Salvaged = { events: new Map(), commands: new Map(), damage }
  const names = damage === undefined ? liveFiles(dir) : namesIn(dir).filter((name) => /\.(ldb|sst|log)$/.test(name))
  for (const name of names) readFile(join(dir, name), (json) => keep(found, json))
  return found
}

const namesIn = (dir: string): ReadonlyArray<string> => {
  try {
    return readdirSync(dir).sort()
  } catch {
    return []
  }
}

const damageOf = (dir: string, head: number): ImagelinkError | undefined => {
  try {
    scanDatabase(dir, head)
    return undefined
  } catch (e) {
    if (isImagelinkError(e)) return e
    throw e
  }
}

const readFile = (path: string, onRecord: (json: Uint8Array) => void): void => {
  if (path.endsWith(".log")) readLog(path, onRecord)
  else carve(readFileSync(path), onRecord)
}

const readLog = (path: string, onRecord: (json: Uint8Array) => void): void => {
  const whole: Array<Uint8Array> = []
  try {
    readLogFile(path, (record) => carve(Buffer.from(record), (json) => whole.push(json)))
  } catch (e) {
    if (!isImagelinkError(e)) throw e
    carve(payloads(readFileSync(path)), onRecord)
    return
  }
  for (const json of whole) onRecord(json)
}

const blockBytes = 32 * 1024
const frameHeaderBytes = 7

/** What the frames of a log hold, checksums aside; what makes no frame goes along as it is. */
const payloads = (file: Buffer): Buffer => {
  const parts: Array<Buffer> = []
  for (let from = 0; from < file.length; from += blockBytes) {
    const block = file.subarray(from, from + blockBytes)
    let at = 0
    while (at + frameHeaderBytes <= block.length) {
      const end = at + frameHeaderBytes + block.readUInt16LE(at + 4)
      if (end > block.length || block[at + 6]! > 4) break
      parts.push(block.subarray(at + frameHeaderBytes, end))
      at = end
    }
    parts.push(block.subarray(at))
  }
  return Buffer.concat(parts)
}

const keep = ({ events, commands }: Salvaged, json: Uint8Array): void => {
  if (!isEvent(json)) {
    const entry = parse(json) as Partial<CommandEntry>
    if (entry.command !== undefined && entry.first !== undefined) commands.set(entry.command, entry as CommandEntry)
    return
  }
  const position = positionOf(json)
  if (position === undefined) return
  const there = events.get(position)
  if (there === undefined) events.set(position, [json])
  else if (!there.some((other) => Buffer.compare(other, json) === 0)) events.set(position, [...there, json])
}
