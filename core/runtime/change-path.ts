/**
 * The tables that tell what changed on the way to a version, from the first one on: by the tree of versions, whatever was flattened.
 *
 *     made    1 ─► 2 ─► 3 ─► 4 ─► 5            4 was flattened over 1
 *     path    1 ─► 2 ─► 3 ─► 4 ─► 5            by the tables that 4 had: where each version changed something is told exactly
 *     path    1 ───────────► 4 ─► 5            once 3 is retired: the tables of the merged file tell less exactly
 */
import type { ImageEntry, VersionEntry } from "../domain/catalogue.ts"
import type { StorageLocation } from "../storage/plugin.ts"

export interface ChangeStep {
  readonly version: VersionEntry
  /** Of its tables; undefined for the first one, which has none. */
  readonly tables: StorageLocation | undefined
  /** They tell of several versions together, by whole clusters. */
  readonly merged: boolean
}

/** From the first version to `version`, which is not retired. */
export const changePath = ({ versions }: Pick<ImageEntry, "versions">, version: number): ReadonlyArray<ChangeStep> => {
  const path: Array<ChangeStep> = []
  for (let at: number | null = version; at !== null; ) {
    const entry: VersionEntry = versions[at - 1]!
    const parent = entry.parent === null ? undefined : versions[entry.parent - 1]
    if (parent !== undefined && !parent.retired) {
      path.push({ version: entry, tables: (entry.changes ?? entry).storage, merged: false })
      at = entry.parent
    } else {
      path.push({ version: entry, tables: entry.over === null ? undefined : entry.storage, merged: true })
      at = entry.over
    }
  }
  return path.reverse()
}

/** Whether the tables on two paths tell exactly where their versions differ: what both were made from is on both, and nothing after it is merged. */
export const tellExactly = (
  { versions }: Pick<ImageEntry, "versions">,
  a: ReadonlyArray<ChangeStep>,
  b: ReadonlyArray<ChangeStep>,
): boolean => {
  const above = (path: ReadonlyArray<ChangeStep>) => {
    const numbers: Array<number> = []
    for (let at: number | null = path.at(-1)!.version.number; at !== null; at = versions[at - 1]!.parent)
      numbers.push(at)
    return numbers
  }
  const ofB = new Set(above(b))
  const common = above(a).find((number) => ofB.has(number))
  const tells = (path: ReadonlyArray<ChangeStep>) => {
    const at = path.findIndex(({ version }) => version.number === common)
    return at >= 0 && !path.slice(at + 1).some(({ merged }) => merged)
  }
  return tells(a) && tells(b)
}
