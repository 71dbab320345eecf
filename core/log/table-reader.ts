/**
 * Reads much of the log from LevelDB's tables, past LevelDB, which would copy every event twice and make a buffer for each.
 *
 * **Details** Tables are read as a whole, the next ones while one is folded. It is a shortcut only: whatever is not as expected ends it, be it a
 * table that LevelDB compacted away meanwhile, a damaged one, or an event that is in no table yet. The caller then goes on through LevelDB,
 * and says what is wrong where something is. That the largest key of a table tells which events it has is the log's doing: events are
 * appended in order, and never changed or deleted.
 */
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { positionOf } from "./keys.ts"
import { readManifest, type TableFile } from "./leveldb/manifest.ts"
import { tableName } from "./leveldb/scan.ts"
import { type TableEvents, tableEvents } from "./leveldb/table-events.ts"

/** Tables that are read ahead: reading a file takes some turns, and each passes while a table is folded. */
const aheadMax = 3

/** The stored values of the events in `(after, last]` of the database `dir`, as far as its tables have them; of each table at a time. */
export async function* tableRuns(dir: string, after: number, last: number): AsyncGenerator<ReadonlyArray<Buffer>> {
  const tables = tablesFrom(dir, after + 1)
  const ahead: Array<Promise<TableEvents | undefined>> = []
  let next = after + 1
  for (let i = 0; i < tables.length && next <= last; i++) {
    for (let j = i + ahead.length; j < Math.min(i + aheadMax, tables.length); j++) ahead.push(load(dir, tables[j]!))
    const events = await ahead.shift()!
    const end = positionOf(tables[i]!.largest)!
    const whole = events !== undefined && events.first <= next && events.first + events.values.length - 1 === end
    if (!whole) return
    yield events.values.slice(next - events.first, last - events.first + 1)
    next = end + 1
  }
}

/** The tables that have the event at `position` and those after it, in order. */
const tablesFrom = (dir: string, position: number): ReadonlyArray<TableFile> => {
  const newest = ({ largest }: TableFile) => positionOf(largest) ?? 0
  try {
    const { tables } = readManifest(dir)
    return tables.filter((table) => newest(table) >= position).sort((a, b) => newest(a) - newest(b))
  } catch {
    return []
  }
}

const load = async (dir: string, table: TableFile): Promise<TableEvents | undefined> => {
  try {
    const bytes = await readFile(join(dir, tableName(table.number)))
    return bytes.length === table.sizeBytes ? tableEvents(bytes) : undefined
  } catch {
    return undefined
  }
}
