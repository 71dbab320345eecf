/** Users of this machine, as /etc/passwd and /etc/group have them, and what the mode bits of files let them read. A user of another directory is shown by number. */
import { type Stats, statSync } from "node:fs"
import { dirname } from "node:path"
import { readText } from "./proc.ts"

export interface User {
  readonly uid: number
  readonly name: string
  readonly gids: ReadonlySet<number>
}

const rowsOf = (path: string): ReadonlyArray<ReadonlyArray<string>> =>
  (readText(path) ?? "").split("\n").map((line) => line.split(":"))

export const userOf = (uid: number): User => {
  const [name = `uid ${uid}`, , , own] = rowsOf("/etc/passwd").find((row) => row[2] === String(uid)) ?? []
  const more = rowsOf("/etc/group").filter(([, , , members = ""]) => members.split(",").includes(name))
  const gids = [own, ...more.map(([, , gid]) => gid)].filter((gid) => gid !== undefined)
  return { uid, name, gids: new Set(gids.map(Number)) }
}

export const userNameOf = (uid: number): string => userOf(uid).name

const READ = 4
const SEARCH = 1

/** inode(7): the first class that fits decides, and root may all. */
const may = (
  { uid, gids }: User,
  { mode, uid: owner, gid }: Pick<Stats, "mode" | "uid" | "gid">,
  bit: number,
): boolean => {
  if (uid === 0) return true
  const shift = uid === owner ? 6 : gids.has(gid) ? 3 : 0
  return ((mode >> shift) & bit) === bit
}

/** The first of a file and the folders above it that a user may not read or pass through, by mode bits; access control lists are not looked at. */
export const barrier = (
  user: User,
  path: string,
  stat: (path: string) => Pick<Stats, "mode" | "uid" | "gid"> | undefined = (at) =>
    statSync(at, { throwIfNoEntry: false }),
): string | undefined => {
  const up = dirname(path)
  const above = up === path ? undefined : folderBarrier(user, up, stat)
  if (above !== undefined) return above
  const stats = stat(path)
  return stats === undefined || may(user, stats, READ) ? undefined : path
}

const folderBarrier = (
  user: User,
  path: string,
  stat: NonNullable<Parameters<typeof barrier>[2]>,
): string | undefined => {
  const up = dirname(path)
  const above = up === path ? undefined : folderBarrier(user, up, stat)
  if (above !== undefined) return above
  const stats = stat(path)
  return stats === undefined || may(user, stats, SEARCH) ? undefined : path
}
