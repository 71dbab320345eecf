/** LevelDB under the log, through classic-level. */
import { ClassicLevel } from "classic-level"
import type { MakeDatabase } from "../../core/log/database.ts"

export const levelDatabase: MakeDatabase = (location) =>
  new ClassicLevel<string, Buffer>(location, { keyEncoding: "utf8", valueEncoding: "buffer" })
