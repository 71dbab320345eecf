/** A file of lines on the local file system, each append synced before it counts. */
import { open, readFile, rename, rm } from "node:fs/promises"
import { dirname } from "node:path"
import { syncFolder } from "./sync-folder.ts"

export const localJournalFile = (path: string) => ({
  path,

  async read(): Promise<string | undefined> {
    try {
      return await readFile(path, "utf8")
    } catch (e) {
      if ((e as NodeJS.ErrnoException).code === "ENOENT") return undefined
      throw e
    }
  },

  async append(text: string): Promise<void> {
    await writeSynced(path, "a", text)
  },

  async replace(text: string): Promise<void> {
    const fresh = `${path}.new`
    await rm(fresh, { force: true })
    await writeSynced(fresh, "wx", text)
    await rename(fresh, path)
    await syncFolder(dirname(path))
  },
})

const writeSynced = async (path: string, flags: string, text: string): Promise<void> => {
  const file = await open(path, flags, 0o600)
  try {
    await file.appendFile(text)
    await file.datasync()
  } finally {
    await file.close()
  }
}
