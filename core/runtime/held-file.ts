/**
 * A regular file that is open for as long as anybody is sent it, and stays the one that was opened: what changes meanwhile is noticed.
 */
import { type BigIntStats, statSync } from "node:fs"
import { constants, type FileHandle, open, stat } from "node:fs/promises"
import type { PieceCache } from "./boot-file-cache.ts"

export interface OpenedFile {
  readonly sizeBytes: number
  /** Exactly `length` bytes, in a buffer that nobody writes to again. @throws FileChanged, or what reading throws */
  read(offset: number, length: number): Promise<Uint8Array>
  /** At least so many, and what lies there besides, at once; undefined where they must be waited for. */
  readNow?(offset: number, least: number): Uint8Array | undefined
  close(): Promise<void>
}

export class FileChanged extends Error {
  override readonly name = "FileChanged"
}

const identityOf = ({ dev, ino, size, mtimeNs }: BigIntStats): string => `${dev} ${ino} ${size} ${mtimeNs}`

/** What a name leads to now; undefined where it leads nowhere. */
export type Look = (path: string) => BigIntStats | undefined | Promise<BigIntStats | undefined>

export const lookLater: Look = (path) => stat(path, { bigint: true }).catch(() => undefined)

/** For a thread that may wait: a look at what the kernel knows already costs less than asking another thread. */
export const lookNow: Look = (path) => {
  try {
    return statSync(path, { bigint: true })
  } catch {
    return undefined
  }
}

/** Not blocking, so that a pipe is seen to be one instead of waiting for its writer; undefined for what is no regular file. */
export const openRegular = async (path: string, cache: PieceCache): Promise<HeldFile | undefined> => {
  const handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  try {
    const stats = await handle.stat({ bigint: true })
    if (stats.isFile()) return new HeldFile(handle, stats, cache)
  } catch (e) {
    await handle.close()
    throw e
  }
  await handle.close()
  return undefined
}

export class HeldFile {
  readonly identity: string
  readonly sizeBytes: number
  readonly #handle: FileHandle
  readonly #cache: PieceCache
  /** Others may wait for what is read here. */
  readonly #reading = new Set<Promise<unknown>>()
  #users = 0
  #over: (() => void) | undefined

  constructor(handle: FileHandle, stats: BigIntStats, cache: PieceCache) {
    this.#handle = handle
    this.#cache = cache
    this.identity = identityOf(stats)
    this.sizeBytes = Number(stats.size)
  }

  /** Whether this is the file that was looked up, as it was opened, and somebody still has it. */
  is(found: BigIntStats | undefined): boolean {
    return found !== undefined && identityOf(found) === this.identity && this.#users > 0
  }

  /** One user more, who closes it once. `over` is called when nobody has it any more. */
  share(over?: () => void): OpenedFile {
    this.#users++
    this.#over ??= over
    let closed = false
    return {
      sizeBytes: this.sizeBytes,
      read: (offset, length) => this.#cache.read(this, offset, length),
      readNow: (offset, least) => this.#cache.readNow(this, offset, least),
      close: async () => {
        if (closed) return
        closed = true
        if (--this.#users === 0) await this.#close()
      },
    }
  }

  load(offset: number, length: number): Promise<Uint8Array> {
    const loading = this.#load(offset, length)
    this.#reading.add(loading)
    const done = () => void this.#reading.delete(loading)
    loading.then(done, done)
    return loading
  }

  async #load(offset: number, length: number): Promise<Uint8Array> {
    const bytes = Buffer.allocUnsafe(length)
    let got = 0
    while (got < length) {
      const { bytesRead } = await this.#handle.read(bytes, got, length - got, offset + got)
      if (bytesRead === 0) break
      got += bytesRead
    }
    if (got < length || identityOf(await this.#handle.stat({ bigint: true })) !== this.identity)
      throw new FileChanged("the file changed while it was sent")
    return bytes
  }

  async #close(): Promise<void> {
    this.#over?.()
    await Promise.allSettled(this.#reading)
    await this.#handle.close()
  }
}
