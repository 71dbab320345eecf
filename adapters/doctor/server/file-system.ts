/**
 * What the file system under the data folder can do: keep what is synced, leave holes, and give space back.
 *
 * **Details** Tried with a file of its own, which is removed again. Where no process may write, or the folder is not there yet, the nearest folder that
 * is there is looked at by name only. Direct I/O is not used, so nobody asks for it; clones (FICLONE) only make backups cheap, so their lack is no fault.
 */
import { randomUUID } from "node:crypto"
import { existsSync } from "node:fs"
import { constants, copyFile, open, rm } from "node:fs/promises"
import { dirname, join } from "node:path"
import { fail } from "../../../core/errors.ts"
import type { Host } from "../../../core/host.ts"
import type { Check } from "../check.ts"
import { type Found, failed, pass, skip, warn } from "../finding.ts"
import { fileSystemAt } from "../system/mounts.ts"

const inRam = /^(tmpfs|ramfs)$/u
const elsewhere = /^(nfs4?|cifs|smb3?|9p|afs|ceph|fuse\.(sshfs|glusterfs|s3fs|rclone))$/u

/** Of the file that it is tried with, while that is there. */
export const PROBE_FILE = "doctor-"

const SIZE = 4 * 2 ** 20
const PIECE = 64 * 1024

export const fileSystem: Check = {
  name: "file system",
  side: "server",
  async run({ dataDir, host }) {
    const path = existing(dataDir)
    const type = fileSystemAt(path) ?? "unknown"
    const where = inRam.test(type)
      ? [warn(dataDir, fail("FILE_SYSTEM_VOLATILE", { path: dataDir, type }))]
      : elsewhere.test(type)
        ? [warn(dataDir, fail("FILE_SYSTEM_REMOTE", { path: dataDir, type }))]
        : []
    const can = path === dataDir ? await tried(path, type, host) : [pass(dataDir, type)]
    return [...where, ...can.filter(({ state }) => where.length === 0 || state !== "pass")]
  },
}

const existing = (path: string): string => (existsSync(path) ? path : existing(dirname(path)))

const tried = async (folder: string, type: string, host: Host): Promise<ReadonlyArray<Found>> => {
  const path = join(folder, `${PROBE_FILE}${randomUUID()}`)
  const copy = `${path}.copy`
  const file = await open(path, "wx+", 0o600).catch((e: Error) => e)
  if (file instanceof Error) return [skip(folder, `${type}: this user may not write there, so it was not tried`)]
  try {
    await file.truncate(SIZE)
    const hole = await bytesOf(file)
    await file.write(Buffer.alloc(PIECE, 1), 0, PIECE, 0)
    await file.sync()
    const written = await bytesOf(file)
    const punched = await host.punchHole?.(file.fd, 0, PIECE)
    await file.sync()
    const isPunched = punched === undefined ? undefined : punched && (written === 0 || (await bytesOf(file)) < written)
    const isCloned = await copyFile(path, copy, constants.COPYFILE_FICLONE_FORCE).then(
      () => true,
      () => false,
    )
    return judged(folder, type, { isSparse: hole < SIZE, isPunched, isCloned })
  } catch (e) {
    const { code, message } = e as NodeJS.ErrnoException
    return [
      skip(
        folder,
        code === "ENOSPC" ? `${type}: there is no room to try it` : `${type}: it cannot be tried: ${message}`,
      ),
    ]
  } finally {
    await file.close()
    await Promise.all([rm(path, { force: true }), rm(copy, { force: true })])
  }
}

/** stat(2) counts blocks of 512 bytes. */
const bytesOf = async (file: { stat(): Promise<{ readonly blocks: number }> }) => (await file.stat()).blocks * 512

interface Can {
  readonly isSparse: boolean
  /** Undefined: this host has no call for it. */
  readonly isPunched: boolean | undefined
  readonly isCloned: boolean
}

const judged = (path: string, type: string, { isSparse, isPunched, isCloned }: Can): ReadonlyArray<Found> => {
  const found: Array<Found> = []
  const lacks = (what: string, means: string) => fail("FILE_SYSTEM_LACKS", { path, type, lacks: what, means })
  if (!isSparse)
    found.push(failed(path, lacks("sparse files", "every client's overlay would take the whole size of its disk")))
  if (isPunched === false)
    found.push(
      warn(path, lacks("holes that are punched", "what a guest trims is not given back until its overlay goes")),
    )
  if (found.length > 0) return found
  const words = ["sparse files", "synced", ...(isPunched ? ["holes"] : []), ...(isCloned ? ["clones"] : [])]
  return [pass(path, `${type}: ${words.join(", ")}`)]
}
