/** Gives what root made in a data folder to whoever owns the store, so that a server without privileges still gets at it. */
import { lchownSync, lstatSync, readdirSync } from "node:fs"
import { join } from "node:path"
import { storePaths } from "../store-files.ts"

/** The folders of a data folder that a repair writes to. */
const folders = ["store", "tlog", "projections"]

/** Does nothing for any other user, who can only make what is his own. */
export const giveToOwner = (dir: string): void => {
  if (process.getuid?.() !== 0) return
  const { uid, gid } = lstatSync(storePaths(dir).store)
  if (uid === 0) return
  const give = (path: string): void => {
    const stat = lstatSync(path, { throwIfNoEntry: false })
    if (stat === undefined) return
    if (stat.uid === 0) lchownSync(path, uid, gid)
    if (stat.isDirectory()) for (const name of readdirSync(path)) give(join(path, name))
  }
  for (const folder of folders) give(join(dir, folder))
}
