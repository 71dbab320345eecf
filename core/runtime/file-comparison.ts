/**
 * Compares two listings of one file system. Pure.
 *
 * **Details** A file differs by its size, its time of modification, its inode (another file took the name), its permissions or owner, or by the
 * time of its last change alone: its bytes, with the old time put back. A folder differs by its inode and rights; what else changed in it are
 * its entries, which are told themselves.
 */
import { fail } from "../errors.ts"
import { limits } from "../limits.ts"
import type { ListedFile } from "./file-lister.ts"

export type FileAspect = "size" | "modified" | "inode" | "rights" | "changed"

export interface FileChange {
  readonly change: "added" | "removed" | "changed"
  readonly path: string
  /** Bytes; null where it is not there. */
  readonly before: number | null
  readonly after: number | null
  /** What of it differs. */
  readonly by: ReadonlyArray<FileAspect>
}

export interface FileTotals {
  readonly added: number
  readonly removed: number
  readonly changed: number
}

export class FileComparison {
  readonly rows: Array<FileChange> = []
  readonly totals = { added: 0, removed: 0, changed: 0 }
  readonly #before = new Map<string, ListedFile>()
  readonly #met = new Set<string>()
  readonly #rowsMax: number
  readonly #filesMax: number

  constructor(rowsMax: number, filesMax: number = limits.diffFilesMax) {
    this.#rowsMax = rowsMax
    this.#filesMax = filesMax
  }

  readonly before = (file: ListedFile): void => {
    this.#count(this.#before.size)
    this.#before.set(file.path, file)
  }

  /** After all of the earlier version. */
  readonly after = (file: ListedFile): void => {
    const { path, sizeBytes } = file
    if (this.#met.has(path)) return
    this.#count(this.#met.size)
    this.#met.add(path)
    const was = this.#before.get(path)
    if (was === undefined) this.#add({ change: "added", path, before: null, after: sizeBytes, by: [] })
    else {
      const by = aspects(was, file)
      if (by.length > 0) this.#add({ change: "changed", path, before: was.sizeBytes, after: sizeBytes, by })
    }
  }

  /** In order of their paths. */
  end(): ReadonlyArray<FileChange> {
    for (const { path, sizeBytes } of this.#before.values())
      if (!this.#met.has(path)) this.#add({ change: "removed", path, before: sizeBytes, after: null, by: [] })
    this.#before.clear()
    this.#met.clear()
    return this.rows.sort((a, b) => (a.path < b.path ? -1 : 1))
  }

  #add(row: FileChange): void {
    this.totals[row.change]++
    if (this.rows.length < this.#rowsMax) this.rows.push(row)
  }

  #count(files: number): void {
    if (files >= this.#filesMax) throw fail("FILE_LISTING_FAILED", { why: `it has more than ${this.#filesMax} files` })
  }
}

const aspects = (was: ListedFile, is: ListedFile): ReadonlyArray<FileAspect> => {
  const found: Array<FileAspect> = []
  if (was.inode !== is.inode) found.push("inode")
  if (was.rights !== is.rights) found.push("rights")
  if (was.directory && is.directory) return found
  if (was.sizeBytes !== is.sizeBytes) found.push("size")
  if (was.modifiedAt !== is.modifiedAt) found.push("modified")
  if (found.length === 0 && was.changedAt !== is.changedAt) found.push("changed")
  return found
}
