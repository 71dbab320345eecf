/**
 * The database under the log, as the log needs it: opened here, made by whoever composes the program.
 *
 * **Details** Tables are not compressed: events are small, and so every byte of a table can be checked without LevelDB (tables.ts).
 */
import type { AbstractLevel } from "abstract-level"
import { fail, type ImagelinkError, isImagelinkError } from "../errors.ts"
import type { Host } from "../host.ts"

/** An ordered store of bytes under text keys; in production `new Level(location, { keyEncoding: "utf8", valueEncoding: "buffer" })`. */
export type LogDatabase = AbstractLevel<string | Buffer | Uint8Array, string, Buffer>

/** What LevelDB is told when it opens. Tables are not compressed. */
export interface DatabaseOptions {
  readonly createIfMissing: boolean
  readonly errorIfExists: boolean
  readonly compression: false
}

/**
 * Makes the database at a folder, with these options from the start.
 *
 * **Gotchas** An abstract-level database opens itself a turn after it was made, with what its constructor was given; options that came with
 * a later `open` would come too late, and its defaults create what is missing.
 */
export type MakeDatabase = (location: string, options: DatabaseOptions) => LogDatabase | Promise<LogDatabase>

/** Opens, or with `create` makes, the database in `location`. */
export const openDatabase = async (make: MakeDatabase, location: string, create: boolean): Promise<LogDatabase> => {
  const database = await make(location, { createIfMissing: create, errorIfExists: create, compression: false })
  await database.open()
  return database
}

interface Coded {
  readonly code?: string
  readonly message?: string
  readonly cause?: Coded
}

/** The innermost error with a code: abstract-level wraps LevelDB's. */
const innermost = (e: Coded): Coded => (e.cause?.code === undefined ? e : innermost(e.cause))

/** Whether opening failed because someone else has the database open. */
export const isLocked = (e: unknown): boolean => innermost(e as Coded).code === "LEVEL_LOCKED"

/** Turns an error of the file system or the database at `path` into one of the list; anything else is a defect and thrown again. */
export const storeError = (e: unknown, path: string, host: Host | undefined): ImagelinkError => {
  if (isImagelinkError(e)) return e
  const { code = "", message = "" } = innermost(e as Coded)
  const more = { underlying: e }
  if (code === "EACCES" || code === "EPERM" || code === "EROFS" || /permission denied/i.test(message)) {
    return fail("DATA_ACCESS_DENIED", { path, user: host?.userName?.() ?? "another user" }, more)
  }
  if (code === "ENOSPC" || code === "EDQUOT" || /no space left/i.test(message)) {
    return fail("NO_SPACE", { what: path }, more)
  }
  if (code === "LEVEL_CORRUPTION" || /no such file/i.test(message)) {
    return fail("STORE_DAMAGED", { file: path, why: message }, more)
  }
  if (code.startsWith("LEVEL_") || /^E[A-Z]+$/.test(code)) return fail("IO_ERROR", { what: path, why: message }, more)
  throw e
}
