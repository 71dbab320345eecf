/**
 * The secret under which boot ids are signed: `store/boot.key`, 32 random bytes, mode 0600, made when it is first needed.
 *
 * **Details** It is replaced by removing it while no server runs: every boot id of before is then refused, and every client has to start again.
 * No backup has it. What it would prove about a restored site is nothing: overlays are in no backup, so a PC that shows a boot id of before has
 * lost its disk, and must not be given a fresh one under its feet.
 */
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from "node:fs"
import { dirname, join } from "node:path"
import { damaged, type StorePaths } from "./store-files.ts"
import { syncPath } from "./sync.ts"

export const bootSecretFileBytes = 32

/** @throws STORE_DAMAGED when the file is there and is not a secret */
export const readOrMakeBootSecret = ({ store }: StorePaths, random: (bytes: number) => Uint8Array): Uint8Array => {
  const path = join(store, "boot.key")
  const found = read(path)
  if (found === undefined) return make(path, random(bootSecretFileBytes))
  if (found.length !== bootSecretFileBytes)
    throw damaged(path, `it is ${found.length} bytes long, not ${bootSecretFileBytes}`)
  return found
}

const read = (path: string): Uint8Array | undefined => {
  try {
    return readFileSync(path)
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code === "ENOENT") return undefined
    throw e
  }
}

/** Who holds the database's lock is alone here, so nobody else makes one at the same time. */
const make = (path: string, secret: Uint8Array): Uint8Array => {
  const fresh = `${path}.new`
  const file = openSync(fresh, "w", 0o600)
  try {
    writeSync(file, secret)
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
  renameSync(fresh, path)
  syncPath(dirname(path))
  return secret
}
