/**
 * Copies a large file: as a clone that shares its blocks where the file system can, else byte by byte with its zeros left out; and hashes it.
 *
 * **Details** The copy is made beside its place, synced and renamed into it. A clone is what FICLONE gives (ioctl_ficlone(2)), and is read once
 * for the hash. Never a hard link: a second name changes the file's ctime, and an image would count as changed from then on.
 */
import { createHash, type Hash } from "node:crypto"
import { type BigIntStats, constants } from "node:fs"
import { copyFile, type FileHandle, mkdir, open, rename, rm, stat } from "node:fs/promises"
import { dirname } from "node:path"
import { fail } from "../../errors.ts"
import { limits } from "../../limits.ts"

export interface CopyOptions {
  readonly signal?: AbortSignal
  /** Told how many more bytes were read. */
  readonly onBytes?: (count: number) => void
}

export interface Copied {
  readonly sizeBytes: number
  readonly sha256: string
  /** It shares its blocks with the original. */
  readonly cloned: boolean
}

export const filePrivate = 0o600
export const folderPrivate = 0o700

export const copyWhole = async (from: string, to: string, options: CopyOptions = {}): Promise<Copied> => {
  await mkdir(dirname(to), { recursive: true, mode: folderPrivate })
  const building = `${to}.new`
  await rm(building, { force: true })
  try {
    const cloned = await clone(from, building)
    const hash = cloned ? await hashFile(building, options) : await copyBytes(from, building, options)
    await syncPath(building)
    await rename(building, to)
    await syncPath(dirname(to))
    return { ...hash, cloned }
  } catch (e) {
    await rm(building, { force: true })
    throw e
  }
}

const clone = async (from: string, to: string): Promise<boolean> => {
  try {
    await copyFile(from, to, constants.COPYFILE_FICLONE_FORCE)
    return true
  } catch (e) {
    const { code } = e as NodeJS.ErrnoException
    if (code === "ENOENT" || code === "EACCES" || code === "ENOSPC") throw e
    return false
  }
}

type Hashed = Omit<Copied, "cloned">

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

/** What identifies a local file, under the names that the file plugin records. */
export const identityOf = async (path: string): Promise<Readonly<Record<string, string>>> => {
  const stats: BigIntStats = await stat(path, { bigint: true })
  const { dev, ino, size, mtimeNs, ctimeNs } = stats
  return {
    device: String(dev),
    inode: String(ino),
    sizeBytes: String(size),
    mtimeNs: String(mtimeNs),
    ctimeNs: String(ctimeNs),
  }
}
