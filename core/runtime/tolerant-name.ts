/**
 * A file of the boot folder under a name that firmware wrote in its own way: in other case, or with `.0` at the end as some ROMs add it.
 *
 * **Details** Only asked when the name as it is leads to no file. Of several that differ in case, the first in order of code units. No folder
 * outside the served one is read.
 */
import { readdir, realpath } from "node:fs/promises"
import { join, sep } from "node:path"

/** The path that was meant, below `root`, which is a real path; undefined where there is none. @throws what reading a folder throws */
export const tolerantPath = async (root: string, path: string): Promise<string | undefined> =>
  (await inAnyCase(root, path)) ?? (path.endsWith(".0") ? inAnyCase(root, path.slice(0, -2)) : undefined)

const inAnyCase = async (root: string, path: string): Promise<string | undefined> => {
  let found = ""
  for (const part of path.split("/")) {
    const folder = await realpath(join(root, found))
    if (folder !== root && !folder.startsWith(root.endsWith(sep) ? root : root + sep)) return undefined
    const names = await readdir(folder)
    const key = part.toLowerCase()
    const name = names.includes(part) ? part : names.filter((one) => one.toLowerCase() === key).sort()[0]
    if (name === undefined) return undefined
    found = join(found, name)
  }
  return found
}
