/** Makes created and renamed names of a folder survive a power loss (fsync(2)); Windows has no such call and needs none. */
import { open } from "node:fs/promises"

export const syncFolder = async (path: string): Promise<void> => {
  if (process.platform === "win32") return
  const folder = await open(path, "r")
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}
