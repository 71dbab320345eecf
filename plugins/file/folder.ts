/**
 * A folder of writable files, as an overlay generation is kept in.
 *
 * **Details** Everything in it belongs to the server's user alone (files 0600, folders 0700): an overlay holds what a person at a client
 * typed. A file is created sparse and at its full length. `replaceFile` writes a temporary file whose name begins with a dot, syncs it,
 * renames it and syncs the folder; one that a crash left behind is overwritten by the next and never listed.
 */
import { close, constants, ftruncate, open } from "node:fs"
import * as fs from "node:fs/promises"
import { join } from "node:path"
import { promisify } from "node:util"
import { fail, type Host, type VolumeFolder, type WritableVolume } from "imagelink/plugin"
import { makeFolder, syncFolder } from "./durable.ts"
import { openRefusal } from "./refusals.ts"
import { WritableFile } from "./writable.ts"

const openFile = promisify(open)
const closeFile = promisify(close)
const truncateFile = promisify(ftruncate)
const FILE_MODE = 0o600

export const fileFolder = (path: string, host: Host): VolumeFolder => new FileFolder(path, host)

class FileFolder implements VolumeFolder {
  readonly path: string
  readonly #host: Host
  /** The last replacement: they go one after another, because two of one name would share the temporary file. */
  #replacing: Promise<unknown> = Promise.resolve()

  constructor(path: string, host: Host) {
    this.path = path
    this.#host = host
  }

  async open(name: string, options?: { readonly create?: { readonly sizeBytes: number } }): Promise<WritableVolume> {
    const path = join(this.path, name)
    const create = options?.create
    try {
      if (create === undefined) return await openExisting(path, this.#host)
      await makeFolder(this.path)
      return await createSparse(path, create.sizeBytes, this.#host)
    } catch (error) {
      throw await openRefusal(error, path, this.#host, "write")
    }
  }

  async readFile(name: string): Promise<Uint8Array | undefined> {
    return unlessMissing(fs.readFile(join(this.path, name)))
  }

  async replaceFile(name: string, bytes: Uint8Array): Promise<void> {
    const turn = this.#replacing.then(() => this.#replace(name, bytes))
    this.#replacing = turn.catch(() => undefined)
    return turn
  }

  async #replace(name: string, bytes: Uint8Array): Promise<void> {
    await makeFolder(this.path)
    const temporary = join(this.path, `.${name}.new`)
    const file = await fs.open(temporary, "w", FILE_MODE)
    try {
      await file.writeFile(bytes)
      await file.sync()
    } finally {
      await file.close()
    }
    await fs.rename(temporary, join(this.path, name))
    await syncFolder(this.path)
  }

  async list(): Promise<ReadonlyArray<string>> {
    const names = (await unlessMissing(fs.readdir(this.path))) ?? []
    return names.filter((name) => !name.startsWith(".")).sort()
  }

  folder(name: string): VolumeFolder {
    return new FileFolder(join(this.path, name), this.#host)
  }

  async rename(from: string, to: string): Promise<void> {
    await fs.rename(join(this.path, from), join(this.path, to))
    await syncFolder(this.path)
  }

  async remove(name: string): Promise<void> {
    await fs.rm(join(this.path, name), { recursive: true, force: true })
  }

  async sync(): Promise<void> {
    await unlessMissing(syncFolder(this.path))
  }
}

const openExisting = async (path: string, host: Host): Promise<WritableVolume> => {
  const { size } = await regular(path)
  return new WritableFile(await openFile(path, constants.O_RDWR), path, size, host)
}

const regular = async (path: string) => {
  const stats = await fs.stat(path)
  if (!stats.isFile()) throw fail("IO_ERROR", { what: path, why: "it is not a regular file" })
  return stats
}

const createSparse = async (path: string, sizeBytes: number, host: Host): Promise<WritableVolume> => {
  const fd = await openFile(path, "wx+", FILE_MODE)
  try {
    await truncateFile(fd, sizeBytes)
    return new WritableFile(fd, path, sizeBytes, host)
  } catch (error) {
    await closeFile(fd)
    await fs.rm(path, { force: true })
    throw error
  }
}

const unlessMissing = <A>(asked: Promise<A>): Promise<A | undefined> =>
  asked.catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined
    throw error
  })
