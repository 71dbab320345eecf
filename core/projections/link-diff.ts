/** What differs between the link tables of two moments: rows added, removed and changed, matched by client and slot. */
import { type KeyedLinkRow, keyedLinkRows, type LinkRow, type LinkTable } from "./link-table.ts"

export interface ChangedLink {
  readonly from: LinkRow
  readonly to: LinkRow
  /** The keys whose values differ. */
  readonly fields: ReadonlyArray<keyof LinkRow>
}

export interface LinkDiff {
  readonly added: ReadonlyArray<LinkRow>
  readonly removed: ReadonlyArray<LinkRow>
  readonly changed: ReadonlyArray<ChangedLink>
}

const changedLink = (from: LinkRow, to: LinkRow): ChangedLink => {
  const fields = (Object.keys(to) as Array<keyof LinkRow>).filter((key) => from[key] !== to[key])
  return { from, to, fields }
}

/** What turns the table `from` into `to`; a client that was renamed is a changed row, because clients are matched by id. */
export const diffLinks = (from: LinkTable, to: LinkTable): LinkDiff => {
  const before: ReadonlyArray<KeyedLinkRow> = keyedLinkRows(from)
  const after: ReadonlyArray<KeyedLinkRow> = keyedLinkRows(to)
  const old = new Map(before.map(({ key, row }) => [key, row]))
  const now = new Set(after.map(({ key }) => key))
  const both = after.flatMap(({ key, row }) => {
    const was = old.get(key)
    return was === undefined ? [] : [changedLink(was, row)]
  })
  return {
    added: after.filter(({ key }) => !old.has(key)).map(({ row }) => row),
    removed: before.filter(({ key }) => !now.has(key)).map(({ row }) => row),
    changed: both.filter(({ fields }) => fields.length > 0),
  }
}
