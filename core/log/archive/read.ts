/**
 * The files of an archive, found by their headers and read in place.
 *
 * **Details** The headers are read first, one by one, from the beginning; what follows a header that is none cannot be found, so it counts as
 * missing and `damage` says from which byte on. Every byte that is no content is looked at here: names are given once, padding and end are
 * zeros, and nothing follows.
 */
import { closeSync, fstatSync, openSync, readSync } from "node:fs"
import { fail, type ImagelinkError } from "../../errors.ts"
import { readEntries } from "../tiles/bundle.ts"
import { TlogFiles } from "../tiles/files.ts"
import { entriesUpTo, tilePath } from "../tiles/paths.ts"
import { archiveFolder } from "./export.ts"
import { blockBytes, decodeHeader, isZero, paddingOf, tarEnd } from "./tar.ts"

interface Entry {
  readonly at: number
  readonly size: number
}

/** Longer than any tile or bundle: 256 entries behind their lengths. */
const fileBytesMax = 256 * (2 + 65_535)

export class ArchiveFiles extends TlogFiles {
  readonly file: string
  readonly fd: number
  readonly entries = new Map<string, Entry>()
  /** What is wrong with the archive as a tar file; undefined when nothing is. */
  damage: string | undefined

  constructor(file: string) {
    super(file)
    this.file = file
    this.fd = openForReading(file)
    try {
      this.damage = this.index(fstatSync(this.fd).size)
    } catch (e) {
      closeSync(this.fd)
      throw unreadable(file, e)
    }
  }

  override path(name: string): string {
    return `${this.file}: ${archiveFolder}${name}`
  }

  override read(name: string): Buffer | undefined {
    const entry = this.entries.get(archiveFolder + name)
    return entry && this.bytes(entry.at, entry.size)
  }

  /** A bundle that ends early answers what it has, because its events are this log's own: so the first that is missing is found, not the bundle. */
  override bundle(index: number, width: number): ReadonlyArray<Uint8Array> | undefined {
    const bytes = this.read(tilePath({ level: "entries", index, width }))
    if (bytes === undefined) return undefined
    const { entries, rest } = readEntries(bytes)
    return entries.length < width || (entries.length === width && rest === 0) ? entries : undefined
  }

  override extent(): number {
    const tiles = `${archiveFolder}tile/0/`
    return [...this.entries.keys()].reduce((most, name) => {
      const upTo = name.startsWith(tiles) ? entriesUpTo(name.slice(tiles.length)) : undefined
      return Math.max(most, upTo ?? 0)
    }, 0)
  }

  close(): void {
    closeSync(this.fd)
  }

  /** Reads every header; answers what is wrong. */
  index(size: number): string | undefined {
    let at = 0
    for (;;) {
      if (at + tarEnd.length > size) return `it ends at byte ${size}, before its end mark`
      const block = this.bytes(at, blockBytes)
      if (isZero(block)) break
      const header = decodeHeader(block)
      if (header === undefined) return `the header at byte ${at} is damaged`
      const next = at + blockBytes + header.size + paddingOf(header.size)
      if (next > size || header.size > fileBytesMax) return `the file ${header.name} at byte ${at} is cut short`
      if (this.entries.has(header.name)) return `it holds ${header.name} twice`
      if (!isZero(this.bytes(next - paddingOf(header.size), paddingOf(header.size))))
        return `there is something between two files at byte ${next - paddingOf(header.size)}`
      this.entries.set(header.name, { at: at + blockBytes, size: header.size })
      at = next
    }
    if (!isZero(this.bytes(at, tarEnd.length)) || size !== at + tarEnd.length)
      return `there is something behind its end mark at byte ${at}`
    return undefined
  }

  bytes(at: number, length: number): Buffer {
    const out = Buffer.alloc(length)
    let done = 0
    while (done < length) {
      const read = readSync(this.fd, out, done, length - done, at + done)
      if (read === 0) break
      done += read
    }
    return out
  }
}

const unreadable = (path: string, e: unknown): ImagelinkError =>
  fail("FILE_UNREADABLE", { path, why: (e as Error).message }, { underlying: e })

const openForReading = (path: string): number => {
  try {
    return openSync(path, "r")
  } catch (e) {
    throw unreadable(path, e)
  }
}
