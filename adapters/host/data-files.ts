/** Files of the data folder, on the local file system. */
import { link, mkdir, open, readlink, rename, rm, statfs, symlink } from "node:fs/promises"
import { dirname, join } from "node:path"
import type { DataFiles } from "../../core/runtime/data-files.ts"
import { syncFolder } from "./sync-folder.ts"

export const localDataFiles = (dataDir: string): DataFiles => {
  const at = (name: string) => join(dataDir, name)
  return {
    async link(file, as) {
      const to = at(as)
      await makeFolder(dirname(to))
      await rm(to, { force: true })
      await link(at(file), to)
      await syncFolder(dirname(to))
    },

    async pointTo(name, target) {
      const to = at(name)
      const fresh = `${to}.new`
      await makeFolder(dirname(to))
      if ((await readlink(to).catch(() => undefined)) !== target) {
        await rm(fresh, { force: true })
        await symlink(target, fresh)
        await rename(fresh, to)
      }
      await syncFolder(dirname(to))
    },

    async space() {
      const { bavail, blocks, bsize } = await statfs(dataDir)
      return { freeBytes: bavail * bsize, sizeBytes: blocks * bsize }
    },

    async create(name, sizeBytes) {
      const to = at(name)
      await makeFolder(dirname(to))
      const file = await open(to, "w", 0o600)
      try {
        await file.truncate(sizeBytes)
        await file.sync()
      } finally {
        await file.close()
      }
      await syncFolder(dirname(to))
    },

    async freeBytes() {
      const found = await statfs(dataDir).catch(() => undefined)
      return found && found.bavail * found.bsize
    },
  }
}

/** Folders that are missing, each synced into the one above it (fsync(2)). */
const makeFolder = async (path: string): Promise<void> => {
  const first = await mkdir(path, { recursive: true, mode: 0o700 })
  if (first === undefined) return
  for (let made = path; made.length >= first.length; made = dirname(made)) await syncFolder(dirname(made))
}
