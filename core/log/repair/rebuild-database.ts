/**
 * Makes the database anew beside the damaged one, and puts it in its place; the damaged one is kept as it is.
 *
 *     db.building/   written, synced, scanned
 *        └─ rename ─► db.new/           whole from here on
 *     db/  ─ rename ─► db.damaged-<n>/
 *     db.new/ ─ rename ─► db/           a repair that was cut off before this begins here
 */
import { existsSync, renameSync, rmSync } from "node:fs"
import { join } from "node:path"
import { type CommandEntry, encodeCommand } from "../command-index.ts"
import { type MakeDatabase, openDatabase } from "../database.ts"
import { sealBytes } from "../envelope.ts"
import { commandKey, eventKey } from "../keys.ts"
import { scanDatabase } from "../leveldb/scan.ts"
import type { StorePaths } from "../store-files.ts"
import { syncPath, syncTree } from "../sync.ts"

const batchCommands = 500

const building = (paths: StorePaths) => join(paths.store, "db.building")
const made = (paths: StorePaths) => join(paths.store, "db.new")

/** The folder to read: after a repair that was cut off, the whole new one that is not in its place yet. */
export const readableDatabase = (paths: StorePaths): string =>
  !existsSync(paths.database) && existsSync(made(paths)) ? made(paths) : paths.database

/** Whether an earlier repair was cut off and left something. */
export const isUnfinished = (paths: StorePaths): boolean => existsSync(building(paths)) || existsSync(made(paths))

/** Ends what an earlier repair began, or clears it away. */
export const finishSwap = (paths: StorePaths): void => {
  rmSync(building(paths), { recursive: true, force: true })
  if (!existsSync(made(paths))) return
  if (existsSync(paths.database)) rmSync(made(paths), { recursive: true, force: true })
  else renameSync(made(paths), paths.database)
  syncPath(paths.store)
}

/** Where the damaged database goes: the first such name that is free. */
export const asideOf = (paths: StorePaths): string => {
  for (let n = 1; ; n++) {
    const aside = join(paths.store, `db.damaged-${n}`)
    if (!existsSync(aside)) return aside
  }
}

/** Events from 1 on, and the commands they are of, in order. @throws NO_SPACE STORE_DAMAGED when what was written does not pass the scan */
export const rebuildDatabase = async (
  make: MakeDatabase,
  paths: StorePaths,
  events: ReadonlyArray<Uint8Array>,
  commands: ReadonlyArray<CommandEntry>,
): Promise<void> => {
  finishSwap(paths)
  const folder = building(paths)
  await write(make, folder, events, commands)
  syncTree(folder)
  scanDatabase(folder, events.length)
  renameSync(folder, made(paths))
  syncPath(paths.store)
  if (existsSync(paths.database)) renameSync(paths.database, asideOf(paths))
  finishSwap(paths)
}

const write = async (
  make: MakeDatabase,
  folder: string,
  events: ReadonlyArray<Uint8Array>,
  commands: ReadonlyArray<CommandEntry>,
): Promise<void> => {
  const database = await openDatabase(make, folder, true)
  const put = (key: string, value: Uint8Array) => ({ type: "put" as const, key, value: value as Buffer })
  try {
    for (let at = 0; at < commands.length; at += batchCommands) {
      const operations = commands
        .slice(at, at + batchCommands)
        .flatMap((entry) => [
          ...events
            .slice(entry.first - 1, entry.first - 1 + entry.count)
            .map((bytes, i) => put(eventKey(entry.first + i), sealBytes(bytes))),
          put(commandKey(entry.command), encodeCommand(entry)),
        ])
      await database.batch(operations, { keyEncoding: "utf8", valueEncoding: "buffer" })
    }
  } finally {
    await database.close()
  }
}
