/**
 * The folder that a backup goes to: whether it may be written, by whom just now, and what in it is no part of the backup any more.
 *
 * **Details** A file `.imagelink-backup` with the writer's process id is there while a backup is made. One that a killed process left says
 * that the folder is ours even where the first manifest was never written, so that the next backup carries on.
 */
import { mkdirSync, readdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from "node:fs"
import { join, relative, resolve } from "node:path"
import { fail } from "../../errors.ts"
import { isRunning } from "../../log/left-overs.ts"
import { HEAT } from "../heat-store.ts"
import { folderPrivate } from "./copy-file.ts"
import { dataFolders, type Manifest, manifestName, readManifest } from "./manifest.ts"

const markName = ".imagelink-backup"
/** What this process writes now: after a restart an old mark may bear the id that this process has. */
const writing = new Set<string>()

/** The backup that is in a folder, which may be empty or not there. @throws BACKUP_REFUSED BACKUP_DAMAGED STORE_NEWER */
export const openBackupFolder = (dir: string, dataDir: string): Manifest | undefined => {
  const inside = relative(resolve(dataDir), resolve(dir))
  if (inside === "" || !(inside.startsWith("..") || resolve(inside) === inside))
    throw fail("BACKUP_REFUSED", { dir, why: "it is in the data folder, and would be lost with it" })
  const names = list(dir)
  const holder = names.includes(markName) ? Number(readFileSync(join(dir, markName), "utf8")) : undefined
  const isHeld = holder === process.pid ? writing.has(resolve(dir)) : holder !== undefined && isRunning(holder)
  if (isHeld) {
    const why = `process ${holder} makes a backup there now; if it does not, remove ${join(dir, markName)}`
    throw fail("BACKUP_REFUSED", { dir, why })
  }
  if (names.length > 0 && holder === undefined && !names.includes(manifestName))
    throw fail("BACKUP_REFUSED", { dir, why: "it is not empty, and holds no backup" })
  return readManifest(dir)
}

const list = (dir: string): ReadonlyArray<string> => {
  try {
    return readdirSync(dir)
  } catch (e) {
    const { code } = e as NodeJS.ErrnoException
    if (code === "ENOTDIR") throw fail("BACKUP_REFUSED", { dir, why: "it is not a folder" })
    if (code !== "ENOENT") throw e
    return []
  }
}

/** Holds the folder for one backup; the answer lets go of it. The mark stays where a first backup was begun and not finished. */
export const holdBackupFolder = (dir: string): (() => void) => {
  mkdirSync(dir, { recursive: true, mode: folderPrivate })
  writeFileSync(join(dir, markName), String(process.pid))
  writing.add(resolve(dir))
  return () => {
    writing.delete(resolve(dir))
    const names = list(dir)
    if (names.includes(manifestName) || names.length === 1) rmSync(join(dir, markName), { force: true })
  }
}

const ownFolders = ["tlog/tile", "sidecars", HEAT, "images", ...dataFolders, "secrets"]

/** Removes from the backup's own folders what its manifest does not name: what the one before had, or an interrupted one began. */
export const removeUnnamed = (dir: string, { files }: Manifest): void => {
  const named = new Set(files.map(({ path }) => path))
  for (const folder of ownFolders) prune(dir, folder, named)
}

/** Answers whether nothing is left in it. */
const prune = (dir: string, path: string, named: ReadonlySet<string>): boolean => {
  let left = 0
  for (const entry of entriesOf(join(dir, path))) {
    const inner = `${path}/${entry.name}`
    if (entry.isDirectory()) left += prune(dir, inner, named) ? 0 : 1
    else if (named.has(inner)) left++
    else rmSync(join(dir, inner), { force: true })
  }
  if (left === 0) removeEmpty(join(dir, path))
  return left === 0
}

const entriesOf = (path: string) => {
  try {
    return readdirSync(path, { withFileTypes: true })
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code !== "ENOENT") throw e
    return []
  }
}

const removeEmpty = (path: string): void => {
  try {
    rmdirSync(path)
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code !== "ENOENT") throw e
  }
}
