/**
 * LevelDB under the log, through classic-level; loaded when a database is really opened.
 *
 * **Details** LevelDB maps every table it has open into memory, and what was read of it counts as ours. Few open tables, and small ones, keep
 * a fold of the whole log small; opening one again costs microseconds. LevelDB takes no fewer than these and no smaller ones.
 */
import type { MakeDatabase } from "../../core/log/database.ts"

const small = { maxOpenFiles: 74, maxFileSize: 1024 * 1024 } as const

export const levelDatabase: MakeDatabase = async (location, options) => {
  const { ClassicLevel } = await import("classic-level")
  const encodings = { keyEncoding: "utf8", valueEncoding: "buffer" } as const
  return new ClassicLevel<string, Buffer>(location, { ...options, ...encodings, ...small })
}
