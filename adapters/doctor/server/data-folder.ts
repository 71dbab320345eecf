/**
 * The data folder: there, writable for whoever asks, of one owner throughout, and closed to others.
 *
 * **Details** A command that root runs in the service's data folder leaves files that the service may not write: the server stops at the next one. So owners are compared
 * with the folder's own. The whole folder need not be walked for that: what one command leaves is in the same few folders.
 */
import { constants, lstatSync, type Stats, statSync } from "node:fs"
import { access } from "node:fs/promises"
import { dirname, join } from "node:path"
import { fail } from "../../../core/errors.ts"
import { limits } from "../../../core/limits.ts"
import { storeExists } from "../../../core/log/store-files.ts"
import type { Check } from "../check.ts"
import { type Found, failed, pass, skip, warn } from "../finding.ts"
import { isGuest } from "../store.ts"
import { namesIn } from "../system/proc.ts"
import { userNameOf } from "../system/users.ts"
import { PROBE_FILE } from "./file-system.ts"

/** For their owner alone. */
const secrets = ["store/site.key", "store/boot.key", "tokens.json"]

export const dataFolder: Check = {
  name: "data folder",
  side: "server",
  async run(exam) {
    const { dataDir, host } = exam
    const folder = statSync(dataDir, { throwIfNoEntry: false })
    if (folder === undefined) return [skip(dataDir, "not there yet; the first command that adds something makes it")]
    const user = host.userName?.() ?? "this user"
    const mayWrite = await access(dataDir, constants.R_OK | constants.W_OK | constants.X_OK).then(
      () => true,
      () => false,
    )
    if (!mayWrite && isGuest(exam)) return [skip(dataDir, `the server's, which ${user} may ask and need not write`)]
    if (!mayWrite) return [failed(dataDir, fail("DATA_ACCESS_DENIED", { path: dataDir, user }))]
    const store = storeExists(dataDir) ? "" : ", without a store yet"
    const about = `writable for ${user}, of ${userNameOf(folder.uid)}${store}`
    const wrong = [...owners(dataDir, folder), ...openToOthers(dataDir, folder)]
    return wrong.length === 0 ? [pass(dataDir, about)] : wrong
  },
}

const owners = (dataDir: string, folder: Stats): ReadonlyArray<Found> => {
  const strange = walk(dataDir).find(({ stats }) => stats.uid !== folder.uid)
  if (strange === undefined) return []
  const [owner, expected] = [userNameOf(strange.stats.uid), userNameOf(folder.uid)]
  return [failed(strange.path, fail("DATA_OWNER", { path: strange.path, owner, expected, folder: dataDir }))]
}

interface Entry {
  readonly path: string
  readonly stats: Stats
}

/** What the log, the overlays and everything else begin with, to a depth of three. */
const walk = (dataDir: string): ReadonlyArray<Entry> => {
  const found: Array<Entry> = []
  const look = (folder: string, depth: number): void => {
    for (const name of namesIn(folder)) {
      if (found.length >= limits.doctorFilesMax) return
      // It is another check's, for a moment.
      if (name.startsWith(PROBE_FILE)) continue
      const path = join(folder, name)
      const stats = lstatSync(path, { throwIfNoEntry: false })
      // A link may be the operator's, to a folder of boot files for example.
      if (stats === undefined || stats.isSymbolicLink() || path === join(dataDir, "boot")) continue
      found.push({ path, stats })
      if (stats.isDirectory() && depth < 3) look(path, depth + 1)
    }
  }
  look(dataDir, 1)
  return found
}

/** Whoever may write to a folder may replace what is in it; a sticky one leaves that to the owners (inode(7)). */
const openToOthers = (dataDir: string, folder: Stats): ReadonlyArray<Found> => {
  const open = (path: string, stats: Stats, fix: string) =>
    warn(path, fail("DATA_OPEN", { path, mode: (stats.mode & 0o7777).toString(8), fix }))
  const found: Array<Found> = []
  if ((folder.mode & 0o002) !== 0) found.push(open(dataDir, folder, `chmod o-w ${dataDir}`))
  const parent = dirname(dataDir)
  const above = statSync(parent)
  if ((above.mode & 0o1002) === 0o002) found.push(open(parent, above, `chmod +t ${parent}`))
  for (const name of secrets) {
    const path = join(dataDir, name)
    const stats = statSync(path, { throwIfNoEntry: false })
    if (stats !== undefined && (stats.mode & 0o077) !== 0) found.push(open(path, stats, `chmod 600 ${path}`))
  }
  return found
}
