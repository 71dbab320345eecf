/** Finds the relative name of a file that was named absolutely: images name what they depend on as whoever made them did. */
import { realpath } from "node:fs/promises"
import { basename, dirname, join, relative, sep } from "node:path"

/**
 * The name of `absolute` inside `folder`, with `/` between its parts; undefined when it is elsewhere. Symlinks are resolved on both sides, so a link
 * inside the folder that leads out of it is elsewhere, and another way to the folder is not.
 */
export const relativeName = async (folder: string, absolute: string): Promise<string | undefined> => {
  const inside = relative(await resolved(folder), await resolved(absolute))
  if (inside === "" || inside === ".." || inside.startsWith(`..${sep}`)) return undefined
  return inside.split(sep).join("/")
}

/** What is not there has the name that it would have. */
const resolved = async (path: string): Promise<string> => {
  try {
    return await realpath(path)
  } catch {
    const above = dirname(path)
    return above === path ? path : join(await resolved(above), basename(path))
  }
}
