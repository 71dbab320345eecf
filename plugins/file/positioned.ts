/**
 * Reads and writes of a whole range at a position of an open file, in as many system calls as it takes.
 *
 * **Details** What the host has in memory is copied at once, where it can tell. The callback API of `fs`, because a FileHandle's promise costs twice as much per read. A read that meets the end of the
 * file fails: the file was long enough when it was opened, so somebody has cut it. Node's own errors are left for the guard to translate.
 */
import { read, readSync, write, writeSync } from "node:fs"
import { fail, type Host, readAtOnce } from "imagelink/plugin"

export interface OpenedFile {
  readonly fd: number
  readonly path: string
  readonly readCached: Host["readCached"]
}

const ALL_READ = Promise.resolve()

export const readAll = (
  { fd, path, readCached }: OpenedFile,
  into: Uint8Array,
  at: number,
  offset: number,
  length: number,
  signal?: AbortSignal,
): Promise<void> => {
  const had = signal?.aborted ? 0 : readAtOnce(readCached, fd, into, at, length, offset)
  return had === length ? ALL_READ : readOn(fd, path, into, at, offset, length, had, signal)
}

/** Behind what is there: `begun` bytes. */
const readOn = (
  fd: number,
  path: string,
  into: Uint8Array,
  at: number,
  offset: number,
  length: number,
  begun: number,
  signal: AbortSignal | undefined,
): Promise<void> =>
  new Promise((resolve, reject) => {
    const step = (done: number) => {
      if (signal?.aborted) return reject(fail("CANCELLED", { what: `a read of ${path}` }))
      read(fd, into, at + done, length - done, offset + done, (error, count) => {
        if (error !== null) return reject(error)
        if (count === 0) return reject(cutShort(path, offset + done, length - done))
        if (done + count === length) resolve()
        else step(done + count)
      })
    }
    step(begun)
  })

export const readAllSync = (
  fd: number,
  path: string,
  into: Uint8Array,
  at: number,
  offset: number,
  length: number,
): void => {
  let done = 0
  while (done < length) {
    const count = readSync(fd, into, at + done, length - done, offset + done)
    if (count === 0) throw cutShort(path, offset + done, length - done)
    done += count
  }
}

export const writeAll = (
  fd: number,
  path: string,
  from: Uint8Array,
  at: number,
  offset: number,
  length: number,
  signal?: AbortSignal,
): Promise<void> =>
  new Promise((resolve, reject) => {
    const step = (done: number) => {
      if (signal?.aborted) return reject(fail("CANCELLED", { what: `a write to ${path}` }))
      write(fd, from, at + done, length - done, offset + done, (error, count) => {
        if (error !== null) return reject(error)
        if (done + count === length) resolve()
        else step(done + count)
      })
    }
    step(0)
  })

export const writeAllSync = (fd: number, from: Uint8Array, at: number, offset: number, length: number): void => {
  let done = 0
  while (done < length) done += writeSync(fd, from, at + done, length - done, offset + done)
}

const cutShort = (path: string, offset: number, length: number) =>
  fail("IO_ERROR", { offset, length, what: path, why: "the file became shorter after it was opened" })
