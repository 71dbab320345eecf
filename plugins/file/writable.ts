/**
 * A writable file in an overlay's folder: positioned reads and writes that do not wait for a device, and a flush that does.
 *
 * **Details** The synchronous doors are offered here and not on images: what an overlay reads back it has written itself, most of it a moment
 * ago, so it lies in the page cache. The overlay asks `readSync` only for bytes it believes hot.
 *
 * **Gotchas** After an `fdatasync` that failed, Linux forgets the error and drops the pages, so the next one would succeed for bytes that
 * are gone. So a failed flush fails for good: the volume answers its error to every later flush.
 */
import { close, fdatasync } from "node:fs"
import { promisify } from "node:util"
import type { Extent, Host, VolumeIdentity, WritableVolume } from "imagelink/plugin"
import { fileExtents } from "./extents.ts"
import { fileIdentity } from "./image.ts"
import { type OpenedFile, readAll, readAllSync, writeAll, writeAllSync } from "./positioned.ts"

const closeFile = promisify(close)
const syncData = promisify(fdatasync)

export class WritableFile implements WritableVolume {
  readonly sizeBytes: number
  readonly #fd: number
  readonly #path: string
  readonly #file: OpenedFile
  readonly #host: Host
  #flushFailed: { readonly error: unknown } | undefined
  /** Present only where the host can find holes. */
  readonly extents?: (offset: number, length: number, max: number) => Promise<ReadonlyArray<Extent>>

  constructor(fd: number, path: string, sizeBytes: number, host: Host) {
    this.#fd = fd
    this.#path = path
    this.#host = host
    this.#file = { fd, path, readCached: host.readCached }
    this.sizeBytes = sizeBytes
    const { nextData } = host
    if (nextData !== undefined)
      this.extents = async (offset, length, max) => fileExtents(fd, nextData, offset, length, max)
  }

  read(into: Uint8Array, at: number, offset: number, length: number, signal?: AbortSignal): Promise<void> {
    return readAll(this.#file, into, at, offset, length, signal)
  }

  readSync(into: Uint8Array, at: number, offset: number, length: number): boolean {
    readAllSync(this.#fd, this.#path, into, at, offset, length)
    return true
  }

  write(from: Uint8Array, at: number, offset: number, length: number, signal?: AbortSignal): Promise<void> {
    return writeAll(this.#fd, this.#path, from, at, offset, length, signal)
  }

  writeSync(from: Uint8Array, at: number, offset: number, length: number): boolean {
    writeAllSync(this.#fd, from, at, offset, length)
    return true
  }

  async flush(): Promise<void> {
    if (this.#flushFailed !== undefined) throw this.#flushFailed.error
    try {
      await syncData(this.#fd)
    } catch (error) {
      this.#flushFailed = { error }
      throw error
    }
  }

  async punch(offset: number, length: number): Promise<boolean> {
    return this.#host.punchHole?.(this.#fd, offset, length) ?? false
  }

  identity(): Promise<VolumeIdentity> {
    return fileIdentity(this.#fd)
  }

  close(): Promise<void> {
    return closeFile(this.#fd)
  }
}
