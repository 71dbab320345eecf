/** LevelDB under the log, through classic-level; loaded when a database is really opened. */
import type { MakeDatabase } from "../../core/log/database.ts"

export const levelDatabase: MakeDatabase = async (location, options) => {
  const { ClassicLevel } = await import("classic-level")
  return new ClassicLevel<string, Buffer>(location, { ...options, keyEncoding: "utf8", valueEncoding: "buffer" })
}
