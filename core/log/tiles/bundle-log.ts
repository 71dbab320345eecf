/**
 * A log that is read from entry bundles: what is left of one in an archive or a backup.
 *
 * **Details** A bundle that ends early gives the events it has, and the first that it cannot give is STORE_DAMAGED, so that whoever verifies
 * learns its position.
 */
import { fail } from "../../errors.ts"
import type { RecordedBytes, SiteIdentity } from "../event-log.ts"
import { fromPromise } from "../promise.ts"
import { readEntries } from "./bundle.ts"
import type { EventSource } from "./events.ts"
import type { TlogFiles } from "./files.ts"
import { tilePath, tileWidth } from "./paths.ts"

/** The first `size` events of the tree in `files`. */
export const bundleLog = (files: TlogFiles, site: SiteIdentity, size: number): EventSource => {
  let last: { readonly index: number; readonly entries: ReadonlyArray<Uint8Array> } | undefined

  const entriesOf = (index: number): ReadonlyArray<Uint8Array> => {
    if (last?.index === index) return last.entries
    const width = Math.min(tileWidth, size - index * tileWidth)
    const own = files.read(tilePath({ level: "entries", index, width }))
    const bytes = own ?? files.read(tilePath({ level: "entries", index, width: tileWidth }))
    const { entries } = bytes === undefined ? { entries: [] } : readEntries(bytes)
    last = { index, entries }
    return entries
  }
  const eventAt = (position: number): RecordedBytes => {
    const index = Math.floor((position - 1) / tileWidth)
    const bytes = entriesOf(index)[(position - 1) % tileWidth]
    if (bytes !== undefined) return { position, bytes }
    const width = Math.min(tileWidth, size - index * tileWidth)
    const file = files.path(tilePath({ level: "entries", index, width }))
    throw fail("STORE_DAMAGED", { file, why: `event ${position} is not in it` })
  }
  return {
    site,
    head: () => size,
    pageBytes: (after, max) =>
      fromPromise(async () => {
        const count = Math.max(0, Math.min(max, size - after))
        return Array.from({ length: count }, (_, i) => eventAt(after + 1 + i))
      }),
  }
}
