/** One file that only its owner reads, replaced whole: what settles survives a power loss, and no reader ever sees half of it. */
import { open, readFile, rename } from "node:fs/promises"
import { dirname } from "node:path"
import { syncFolder } from "./sync-folder.ts"

export interface SecretFile {
  read(): Promise<string | undefined>
  replace(text: string): Promise<void>
}

export const secretFile = (path: string): SecretFile => ({
  async read() {
    try {
      return await readFile(path, "utf8")
    } catch (e) {
      if ((e as NodeJS.ErrnoException).code === "ENOENT") return undefined
      throw e
    }
  },

  async replace(text) {
    const fresh = `${path}.new`
    const file = await open(fresh, "w", 0o600)
    try {
      await file.writeFile(text)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(fresh, path)
    await syncFolder(dirname(path))
  },
})
