/** Puts files and folders on disk for good (fsync), where a rename alone would not. */
import { closeSync, fsyncSync, openSync, readdirSync } from "node:fs"
import { join } from "node:path"

/** Everything under a folder, and the folder. */
export const syncTree = (folder: string): void => {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) syncTree(path)
    else syncPath(path)
  }
  syncPath(folder)
}

export const syncPath = (path: string): void => {
  const fd = openSync(path, "r")
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}
