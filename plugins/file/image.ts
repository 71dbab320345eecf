/**
 * An image file opened for reading, in a way that leaves no trace on it.
 *
 * **Details** The path is looked at before it is opened, because opening a device can do things; and again after, because the path may
 * have changed in between. O_NONBLOCK keeps a pipe that slipped in from stopping us; on a regular file it means nothing (open(2)).
 * O_NOATIME is the owner's privilege, so without it the file is opened plainly.
 */
import { close, constants, fstat, open } from "node:fs"
import { stat } from "node:fs/promises"
import { promisify } from "node:util"
import { fail, type Host, readAtOnce, type Volume, type VolumeIdentity } from "imagelink/plugin"
import { fileExtents } from "./extents.ts"
import { readAll } from "./positioned.ts"
import { openRefusal, otherKind } from "./refusals.ts"

const openFile = promisify(open)
const closeFile = promisify(close)
const statFile = promisify(fstat)

/** @throws IMAGE_FILE_NOT_FOUND IMAGE_ACCESS_DENIED IMAGE_NOT_A_DISK CANCELLED */
export const openImage = async (path: string, host: Host, signal: AbortSignal): Promise<Volume> => {
  const fd = await openReadOnly(path, host)
  try {
    const stats = await statFile(fd)
    refuseOtherKinds(path, otherKind(stats))
    if (signal.aborted) throw fail("CANCELLED", { what: `opening ${path}` })
    return imageVolume(fd, path, stats.size, host)
  } catch (error) {
    await closeFile(fd)
    throw error
  }
}

const openReadOnly = async (path: string, host: Host): Promise<number> => {
  const plain = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0)
  try {
    refuseOtherKinds(path, otherKind(await stat(path)))
    return await openFile(path, plain | (constants.O_NOATIME ?? 0)).catch((error: NodeJS.ErrnoException) => {
      if (error.code === "EPERM") return openFile(path, plain)
      throw error
    })
  } catch (error) {
    throw await openRefusal(error, path, host, "read")
  }
}

const refuseOtherKinds = (path: string, kind: string | undefined): void => {
  if (kind !== undefined) throw fail("IMAGE_NOT_A_DISK", { path, why: kind })
}

const imageVolume = (fd: number, path: string, sizeBytes: number, host: Host): Volume => {
  const { nextData, readCached } = host
  const file = { fd, path, readCached }
  return {
    sizeBytes,
    read: (into, at, offset, length, signal) => readAll(file, into, at, offset, length, signal),
    identity: () => fileIdentity(fd),
    close: () => closeFile(fd),
    ...(readCached && {
      readSync: (into, at, offset, length) => readAtOnce(readCached, fd, into, at, length, offset) === length,
    }),
    ...(nextData && {
      extents: async (offset, length, max) => fileExtents(fd, nextData, offset, length, max),
    }),
  }
}

/** What changes when anybody writes to, replaces or renames the file. Nanoseconds, because seconds miss a quick change. */
export const fileIdentity = (fd: number): Promise<VolumeIdentity> =>
  new Promise((resolve, reject) =>
    fstat(fd, { bigint: true }, (error, stats) => {
      if (error !== null) return reject(error)
      resolve({
        device: String(stats.dev),
        inode: String(stats.ino),
        sizeBytes: String(stats.size),
        mtimeNs: String(stats.mtimeNs),
        ctimeNs: String(stats.ctimeNs),
      })
    }),
  )
