/**
 * The data folder that a backup is restored into: whether it may be, and the moment it becomes the restored one.
 *
 *     <data>.new-<pid>-<id>/          built whole beside it
 *     <data>                          with --force, renamed to <data>.before-restore-<id> and kept
 *        └─ rename ─► <data>          from here on it is the restored one
 *
 * **Details** A killed restore leaves a folder that the next one removes. Killed between the two renames, the data folder is not there, the old one
 * is whole under its other name, and the same restore can be run again.
 */
import { closeSync, fsyncSync, openSync, readdirSync, realpathSync, renameSync, rmSync, statSync } from "node:fs"
import { basename, dirname, isAbsolute, join, relative, resolve } from "node:path"
import { fail } from "../../errors.ts"
import { buildingName, removeLeftOvers } from "../../log/left-overs.ts"
import { lockHolder } from "../../log/lock-holder.ts"
import { storePaths } from "../../log/store-files.ts"

export interface Target {
  /** The data folder, links resolved. */
  readonly dir: string
  /** Whether something is there that has to go aside. */
  readonly replaces: boolean
}

const entriesOf = (dir: string): ReadonlyArray<string> | undefined => {
  try {
    return readdirSync(dir)
  } catch (e) {
    const { code } = e as NodeJS.ErrnoException
    if (code === "ENOTDIR") throw fail("RESTORE_REFUSED", { path: dir, why: "it is not a folder" })
    if (code !== "ENOENT") throw e
    return undefined
  }
}

const isIn = (path: string, folder: string): boolean => {
  const inner = relative(folder, path)
  return inner === "" || !(inner.startsWith("..") || isAbsolute(inner))
}

/** @throws TARGET_NOT_EMPTY RESTORE_REFUSED DATA_IN_USE */
export const openTarget = (data: string, backup: string, force: boolean): Target => {
  const entries = entriesOf(data)
  const dir = entries === undefined ? resolve(data) : realpathSync(data)
  const from = realpathSync(backup)
  if (isIn(from, dir) || isIn(dir, from))
    throw fail("RESTORE_REFUSED", { path: dir, why: "the backup is in it, or it is in the backup" })
  if (entries === undefined) return { dir, replaces: false }
  if (statSync(dir).dev !== statSync(dirname(dir)).dev) {
    const why = "it is where a file system is mounted, so it cannot be exchanged in one step; a folder inside it can"
    throw fail("RESTORE_REFUSED", { path: dir, why })
  }
  const pid = lockHolder(join(storePaths(dir).database, "LOCK"))
  if (pid !== undefined) throw fail("DATA_IN_USE", { path: dir, holder: `process ${pid}` })
  if (entries.length > 0 && !force) throw fail("TARGET_NOT_EMPTY", { path: dir })
  return { dir, replaces: entries.length > 0 }
}

/** Where the folder is built; what killed restores left there is removed. */
export const buildingFolder = ({ dir }: Target, id: string): string => {
  removeLeftOvers(dirname(dir), basename(dir))
  return join(dirname(dir), buildingName(basename(dir), id))
}

/** Puts the built folder in its place; answers where the old one is now. */
export const exchange = ({ dir, replaces }: Target, building: string, id: string): string | null => {
  const aside = `${dir}.before-restore-${id}`
  if (replaces) renameSync(dir, aside)
  renameSync(building, dir)
  syncFolder(dirname(dir))
  return replaces ? aside : null
}

export const discard = (building: string): void => rmSync(building, { recursive: true, force: true })

const syncFolder = (path: string): void => {
  const fd = openSync(path, "r")
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}
