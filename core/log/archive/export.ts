/**
 * Writes a log as one archive: its key, its checkpoint, and every tile and entry bundle under that, in a tar file.
 *
 *     tlog/key                       the verifier key line (C2SP signed-note)
 *     tlog/checkpoint                the signed note
 *     tlog/tile/<L>/<N>[.p/<W>]      C2SP tlog-tiles: tiles, and the events in tile/entries/
 *
 * **Details** Tiles are made again from the events as they are read, so an archive holds no damage of the published ones, and its root is known
 * to be the checkpoint's before it gets its name. Memory does not grow with the log. The same log at the same checkpoint is the same file,
 * byte for byte.
 */
import { existsSync } from "node:fs"
import { type FileHandle, open, rename, rm } from "node:fs/promises"
import { basename, dirname, join } from "node:path"
import { fail } from "../../errors.ts"
import type { Host } from "../../host.ts"
import { storeError } from "../database.ts"
import { buildingName, removeLeftOvers } from "../left-overs.ts"
import { sameHash } from "../merkle/hash.ts"
import { type EventSource, eachEvent } from "../tiles/events.ts"
import { verifierKey } from "../tiles/note.ts"
import { tilePath } from "../tiles/paths.ts"
import type { Published } from "../tiles/publisher.ts"
import { type TreeFile, TreeFiles } from "../tiles/tree-files.ts"
import { encodeHeader, paddingOf, tarEnd } from "./tar.ts"

export const archiveFolder = "tlog/"

/** Gathered before they are written. */
const chunkBytes = 1024 * 1024

export interface ExportOptions {
  readonly log: EventSource
  readonly published: Published
  readonly path: string
  /** Replace a file that is there. */
  readonly force: boolean
  readonly host?: Host
  readonly signal?: AbortSignal
  readonly onProgress?: (done: number, total: number) => void
}

let exports = 0

/** Answers the archive's size. @throws FILE_EXISTS AUDIT_FAILED STORE_DAMAGED CANCELLED DATA_ACCESS_DENIED NO_SPACE IO_ERROR */
export const exportArchive = async (options: ExportOptions): Promise<number> => {
  const { path, force, host } = options
  const building = join(dirname(path), buildingName(basename(path), String(++exports)))
  try {
    refuseExisting(path, force)
    removeLeftOvers(dirname(path), basename(path))
    const sizeBytes = await writeFileWith(building, (out) => writeTree(out, options))
    refuseExisting(path, force)
    await rename(building, path)
    await syncFolder(dirname(path))
    return sizeBytes
  } catch (e) {
    await rm(building, { force: true })
    throw storeError(e, path, host)
  }
}

const refuseExisting = (path: string, force: boolean): void => {
  if (!force && existsSync(path)) throw fail("FILE_EXISTS", { path })
}

const writeFileWith = async (path: string, write: (out: TarWriter) => Promise<void>): Promise<number> => {
  const file = await open(path, "wx", 0o644)
  try {
    const out = new TarWriter(file)
    await write(out)
    await out.end()
    await file.sync()
    return out.sizeBytes
  } finally {
    await file.close()
  }
}

const writeTree = async (out: TarWriter, { log, published, signal, onProgress }: ExportOptions): Promise<void> => {
  const { note, size, root } = published
  await out.file(`${archiveFolder}key`, Buffer.from(`${verifierKey(log.site)}\n`))
  await out.file(`${archiveFolder}checkpoint`, Buffer.from(note))
  const files = new TreeFiles()
  const put = async (made: ReadonlyArray<TreeFile>) => {
    for (const { place, bytes } of made) await out.file(archiveFolder + tilePath(place), bytes)
  }
  await eachEvent(log, 0, size, async (events) => {
    if (signal?.aborted) throw fail("CANCELLED", { what: "audit export" })
    for (const { bytes } of events) await put(files.add(bytes))
    onProgress?.(files.tree.size, size)
  })
  await put(files.end())
  if (sameHash(files.tree.root(), root)) return
  const why = `the ${size} events have another root than their checkpoint; 'imagelink audit verify' says from where on`
  throw fail("AUDIT_FAILED", { why })
}

/** Gathers what is small into few writes. */
class TarWriter {
  readonly out: FileHandle
  sizeBytes = 0
  chunks: Array<Uint8Array> = []
  gathered = 0

  constructor(out: FileHandle) {
    this.out = out
  }

  async file(name: string, bytes: Uint8Array): Promise<void> {
    await this.write(encodeHeader(name, bytes.length))
    await this.write(bytes)
    await this.write(tarEnd.subarray(0, paddingOf(bytes.length)))
  }

  async write(bytes: Uint8Array): Promise<void> {
    this.chunks.push(bytes)
    this.gathered += bytes.length
    if (this.gathered >= chunkBytes) await this.flush()
  }

  async flush(): Promise<void> {
    const bytes = Buffer.concat(this.chunks)
    this.chunks = []
    this.gathered = 0
    await this.out.writeFile(bytes)
    this.sizeBytes += bytes.length
  }

  async end(): Promise<void> {
    await this.write(tarEnd)
    await this.flush()
  }
}

const syncFolder = async (path: string): Promise<void> => {
  const folder = await open(path, "r")
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}
