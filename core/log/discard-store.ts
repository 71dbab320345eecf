/**
 * Takes a store away again that was made for a command which then came to nothing.
 *
 * **Details** It is renamed out of its place while its maker still holds the database's lock, so nobody can have begun to use it. The name
 * is one that createStore clears away, should this process die before the folder is gone.
 */
import { renameSync, rmdirSync, rmSync } from "node:fs"
import { join } from "node:path"
import { storePaths } from "./store-files.ts"

/** Moves the store of the data folder `dir` aside; the answer removes it, and `dir` with it if that is empty, once the log is closed. */
export const setStoreAside = (dir: string): (() => void) => {
  const aside = join(dir, `store.new-${process.pid}-unused`)
  renameSync(storePaths(dir).store, aside)
  return () => {
    rmSync(aside, { recursive: true, force: true })
    try {
      rmdirSync(dir)
    } catch {
      // Something else is in it: it stays.
    }
  }
}
