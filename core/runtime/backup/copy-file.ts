/**
 * Copies a large file: as a clone that shares its blocks where the file system can, else byte by byte with its zeros left out; and hashes it.
 *
 * **Details** The copy is made beside its place, synced and renamed into it. A clone is what FICLONE gives (ioctl_ficlone(2)), and is read once
 * for the hash. A hard link is made only of what asks for it: a second name changes the file's ctime, and an image that is served in place would
 * count as changed from then on. What is sealed in the data folder is known by its modification time alone.
 */
import { createHash, type Hash } from "node:crypto"
import { type BigIntStats, constants } from "node:fs"
import { copyFile, type FileHandle, link, mkdir, open, rename, rm, stat, utimes } from "node:fs/promises"
import { dirname } from "node:path"
import { fail } from "../../errors.ts"
import { limits } from "../../limits.ts"

export interface CopyOptions {
  readonly signal?: AbortSignal
  /** Told how many more bytes were read. */
  readonly onBytes?: (count: number) => void
  /** Where it cannot be cloned, a second name will do: neither is ever written to. */
  readonly mayLink?: boolean
  /** The copy gets this modification time, in milliseconds since 1970. */
  readonly mtimeMs?: number | undefined
}

export interface Copied {
  readonly sizeBytes: number
  readonly sha256: string
  /** A clone shares its blocks with the original; a link is the original under a second name. */
  readonly done: "copied" | "cloned" | "linked"
}

export const filePrivate = 0o600
export const folderPrivate = 0o700

export const copyWhole = async (from: string, to: string, options: CopyOptions = {}): Promise<Copied> => {
  await mkdir(dirname(to), { recursive: true, mode: folderPrivate })
  const building = `${to}.new`
  await rm(building, { force: true })
  try {
    const done = await shared(from, building, options)
    const hash = done === "copied" ? await copyBytes(from, building, options) : await hashFile(building, options)
    if (options.mtimeMs !== undefined && done !== "linked") await setModified(building, options.mtimeMs)
    await syncPath(building)
    await rename(building, to)
    // rename(2) does nothing where both names are of one file already, as after an interrupted backup
    await rm(building, { force: true })
    await syncPath(dirname(to))
    return { ...hash, done }
  } catch (e) {
    await rm(building, { force: true })
    throw e
  }
}

/** Gives the file another name or a clone at `to`; `copied` where neither was to be had, and then nothing is there. */
const shared = async (from: string, to: string, { mayLink }: CopyOptions): Promise<Copied["done"]> => {
  if (await succeeds(copyFile(from, to, constants.COPYFILE_FICLONE_FORCE))) return "cloned"
  if (mayLink && (await succeeds(link(from, to)))) return "linked"
  return "copied"
}

const succeeds = async (sharing: Promise<void>): Promise<boolean> => {
  try {
    await sharing
    return true
  } catch (e) {
    const { code } = e as NodeJS.ErrnoException
    if (code === "ENOENT" || code === "EACCES" || code === "ENOSPC") throw e
    return false
  }
}

/** Half a millisecond more, because the seconds go through a double, and what rounds down must not end in the millisecond before. */
const setModified = (path: string, mtimeMs: number): Promise<void> => {
  const seconds = (mtimeMs + 0.5) / 1000
  return utimes(path, seconds, seconds)
}

type Hashed = Omit<Copied, "done">

export const hashFile = async (path: string, options: CopyOptions = {}): Promise<Hashed> => {
  const file = await open(path, "r")
  try {
    return await eachChunk(file, path, options, async () => {})
  } finally {
    await file.close()
  }
}

const copyBytes = async (from: string, to: string, options: CopyOptions): Promise<Hashed> => {
  const source = await open(from, "r")
  try {
    const target = await open(to, "wx", filePrivate)
    try {
      const hashed = await eachChunk(source, from, options, (bytes, at) => writeData(target, bytes, at))
      await target.truncate(hashed.sizeBytes)
      return hashed
    } finally {
      await target.close()
    }
  } finally {
    await source.close()
  }
}

const eachChunk = async (
  file: FileHandle,
  path: string,
  { signal, onBytes }: CopyOptions,
  use: (bytes: Buffer, at: number) => Promise<void>,
): Promise<Hashed> => {
  const hash: Hash = createHash("sha256")
  const chunk = Buffer.allocUnsafe(limits.scanBytes)
  let at = 0
  for (;;) {
    if (signal?.aborted) throw fail("CANCELLED", { what: `reading ${path}` })
    const { bytesRead } = await file.read(chunk, 0, chunk.length, at)
    if (bytesRead === 0) return { sizeBytes: at, sha256: hash.digest("hex") }
    const bytes = chunk.subarray(0, bytesRead)
    hash.update(bytes)
    await use(bytes, at)
    at += bytesRead
    onBytes?.(bytesRead)
  }
}

const zeros = Buffer.alloc(limits.clusterBytes)

/** Writes what is not all zeros; the rest stays a hole. */
const writeData = async (target: FileHandle, bytes: Buffer, at: number): Promise<void> => {
  for (let from = 0; from < bytes.length; from += zeros.length) {
    const part = bytes.subarray(from, from + zeros.length)
    if (part.equals(zeros.subarray(0, part.length))) continue
    for (let done = 0; done < part.length; )
      done += (await target.write(part, done, part.length - done, at + from + done)).bytesWritten
  }
}

export const syncPath = async (path: string): Promise<void> => {
  const file = await open(path, "r")
  try {
    await file.sync()
  } finally {
    await file.close()
  }
}

/** Writes a small file in one step that survives a power loss. */
export const writeWhole = async (path: string, bytes: Uint8Array): Promise<void> => {
  await mkdir(dirname(path), { recursive: true, mode: folderPrivate })
  const building = `${path}.new`
  const file = await open(building, "w", filePrivate)
  try {
    await file.writeFile(bytes)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(building, path)
  await syncPath(dirname(path))
}

/** What identifies a local file, under the names that the file plugin records, and the one that files of the data folder are known by. */
export const identityOf = async (path: string): Promise<Readonly<Record<string, string>>> => {
  const stats: BigIntStats = await stat(path, { bigint: true })
  const { dev, ino, size, mtimeNs, ctimeNs } = stats
  return {
    device: String(dev),
    inode: String(ino),
    sizeBytes: String(size),
    mtimeNs: String(mtimeNs),
    mtimeMs: String(mtimeNs / 1_000_000n),
    ctimeNs: String(ctimeNs),
  }
}
