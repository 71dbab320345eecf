/**
 * LevelDB under the log, through classic-level; loaded when a database is really opened.
 *
 * **Details** LevelDB maps every table it has open into memory, and what was read of it counts as ours. Few open tables (of 2 MiB) keep
 * a fold of the whole log small; opening one again costs microseconds.
 */
import type { MakeDatabase } from "../../core/log/database.ts"

/** LevelDB keeps ten of them for itself. */
const maxOpenFiles = 64

export const levelDatabase: MakeDatabase = async (location, options) => {
  const { ClassicLevel } = await import("classic-level")
  const encodings = { keyEncoding: "utf8", valueEncoding: "buffer" } as const
  return new ClassicLevel<string, Buffer>(location, { ...options, ...encodings, maxOpenFiles })
}
