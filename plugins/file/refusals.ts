/**
 * Why a file cannot be opened, in words that name what to change: which folder of the path, which user, what it is instead.
 */
import type { Stats } from "node:fs"
import { access, constants } from "node:fs/promises"
import { dirname } from "node:path"
import { fail, type Host } from "imagelink/plugin"

/** The refusal for an error of `stat` or `open`; errors it has no better words for come back as they are. */
export const openRefusal = async (
  error: unknown,
  path: string,
  host: Host,
  need: "read" | "write",
): Promise<unknown> => {
  const code = (error as NodeJS.ErrnoException).code
  if (code === "ENOENT" || code === "ENOTDIR") return fail("IMAGE_FILE_NOT_FOUND", { path }, { underlying: error })
  if (code !== "EACCES" && code !== "EPERM") return error
  const closed = await firstUnsearchable(path)
  const what = closed === undefined ? need : `search ${closed}, a folder on the way to`
  const user = host.userName?.() ?? "its own user"
  return fail("IMAGE_ACCESS_DENIED", { path, user, need: what }, { underlying: error })
}

/** The topmost folder above `path` that this user may not search. */
const firstUnsearchable = async (path: string): Promise<string | undefined> => {
  const above: Array<string> = []
  for (let folder = dirname(path); above[0] !== folder; folder = dirname(folder)) above.unshift(folder)
  for (const folder of above) {
    try {
      await access(folder, constants.X_OK)
    } catch {
      return folder
    }
  }
  return undefined
}

/** What something other than a regular file is. */
export const otherKind = (stats: Pick<Stats, "isFile" | "isDirectory" | "isFIFO" | "isSocket" | "isBlockDevice">) => {
  if (stats.isFile()) return undefined
  if (stats.isDirectory()) return "it is a folder"
  if (stats.isFIFO()) return "it is a named pipe"
  if (stats.isSocket()) return "it is a socket"
  return `it is a ${stats.isBlockDevice() ? "block" : "character"} device, and only regular files are served`
}
