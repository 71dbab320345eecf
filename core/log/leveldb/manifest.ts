/**
 * Reads CURRENT and the MANIFEST it names: which tables and which write-ahead logs make up the database now.
 *
 * From impl.md: CURRENT holds the MANIFEST's name and a newline; the MANIFEST is a log file of VersionEdits, applied in order. From
 * db/version_edit.cc, an edit is fields of a varint tag and a value:
 *
 *     1 comparator string   2 log number   3 next file number   4 last sequence   5 compact pointer: level, key
 *     6 deleted file: level, number        7 new file: level, number, size, smallest key, largest key        9 previous log number
 *
 * Keys in an edit are internal keys: the user's key and 8 bytes of sequence and type (db/dbformat.h).
 */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { fail } from "../../errors.ts"
import { Cursor, Malformed } from "./coding.ts"
import { readLogFile } from "./frames.ts"

const comparator = "leveldb.BytewiseComparator"

export interface TableFile {
  readonly number: number
  readonly sizeBytes: number
  /** Smallest and largest user key. */
  readonly smallest: string
  readonly largest: string
}

export interface Manifest {
  /** Path of the MANIFEST, for refusals. */
  readonly path: string
  /** Write-ahead logs from this number on are live; 0 before the first. */
  readonly logNumber: number
  /** Used by LevelDB before 2012 only; 0 otherwise. */
  readonly previousLogNumber: number
  readonly lastSequence: number
  readonly tables: ReadonlyArray<TableFile>
}

/** Reads the database folder `dir`. @throws STORE_DAMAGED */
export const readManifest = (dir: string): Manifest => {
  const path = join(dir, readCurrent(join(dir, "CURRENT")))
  const edits = new Edits()
  try {
    readLogFile(path, (record) => edits.apply(new Cursor(record)))
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code !== "ENOENT") throw e
    throw fail("STORE_DAMAGED", { file: path, why: "CURRENT names it, and it is missing" })
  }
  const { logNumber, nextFile, lastSequence } = edits
  if (logNumber === undefined || nextFile === undefined || lastSequence === undefined) {
    throw fail("STORE_DAMAGED", { file: path, why: "it does not say which files make up the database" })
  }
  const tables = [...edits.tables.values()]
  return { path, logNumber, previousLogNumber: edits.previousLogNumber, lastSequence, tables }
}

const readCurrent = (path: string): string => {
  let text: string
  try {
    text = readFileSync(path, "latin1")
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code !== "ENOENT") throw e
    throw fail("STORE_DAMAGED", { file: path, why: "the file that names the database's MANIFEST is missing" })
  }
  const name = /^(MANIFEST-[0-9]{6,})\n$/.exec(text)?.[1]
  if (name === undefined) throw fail("STORE_DAMAGED", { file: path, why: "it does not name a MANIFEST" })
  return name
}

const userKey = (internal: Uint8Array): string => {
  if (internal.length < 8) throw new Malformed("a key in it is too short")
  return Buffer.from(internal.subarray(0, -8)).toString("latin1")
}

class Edits {
  readonly tables = new Map<number, TableFile>()
  logNumber: number | undefined
  previousLogNumber = 0
  nextFile: number | undefined
  lastSequence: number | undefined

  apply(edit: Cursor): void {
    // A compaction that moves a table names it as deleted on one level and as new on the next: deletions come first
    const added: Array<TableFile> = []
    while (!edit.atEnd) this.field(edit.varint(), edit, added)
    for (const table of added) this.tables.set(table.number, table)
  }

  field(tag: number, edit: Cursor, added: Array<TableFile>): void {
    switch (tag) {
      case 1: {
        const name = Buffer.from(edit.string()).toString("latin1")
        if (name !== comparator) throw new Malformed(`its keys are ordered by ${name}`)
        return
      }
      case 2:
        this.logNumber = edit.varint()
        return
      case 3:
        this.nextFile = edit.varint()
        return
      case 4:
        this.lastSequence = edit.varint()
        return
      case 5:
        edit.varint()
        edit.string()
        return
      case 6:
        edit.varint()
        this.tables.delete(edit.varint())
        return
      case 7: {
        edit.varint()
        const [number, sizeBytes] = [edit.varint(), edit.varint()]
        added.push({ number, sizeBytes, smallest: userKey(edit.string()), largest: userKey(edit.string()) })
        return
      }
      case 9:
        this.previousLogNumber = edit.varint()
        return
      default:
        throw new Malformed(`it has a field of unknown tag ${tag}`)
    }
  }
}
