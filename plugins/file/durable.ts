/** Makes names survive a power loss: on Linux a new or renamed entry is durable once its folder was synced (fsync(2)). */
import { mkdir, open } from "node:fs/promises"
import { dirname, resolve } from "node:path"

const FOLDER_MODE = 0o700

export const syncFolder = async (path: string): Promise<void> => {
  // Windows opens no folders and journals its names by itself.
  if (process.platform === "win32") return
  const folder = await open(path, "r")
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

/** Makes a folder and what is missing above it, and syncs each folder that got a new entry. */
export const makeFolder = async (path: string): Promise<void> => {
  const topmost = await mkdir(path, { recursive: true, mode: FOLDER_MODE })
  if (topmost === undefined) return
  let made = resolve(path)
  while (made.length >= resolve(topmost).length) {
    await syncFolder(dirname(made))
    if (made === dirname(made)) return
    made = dirname(made)
  }
}
