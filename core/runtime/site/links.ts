/** What can be asked about links and the log that they come from. */
import type { HistoryLine } from "../../projections/client-history.ts"
import type { LinkDiff } from "../../projections/link-diff.ts"
import type { LinkRow } from "../../projections/link-table.ts"
import type { AsOf, Changed, Moment, Nothing, Op } from "./operation.ts"

export interface LinksThen extends AsOf {
  readonly rows: ReadonlyArray<LinkRow>
}

export interface LinkDiffAnswer extends LinkDiff {
  readonly from: AsOf
  readonly to: AsOf
}

export interface LinkOperations {
  links: Op<Nothing, ReadonlyArray<LinkRow>>
  history: Op<
    {
      readonly client?: string
      readonly image?: string
      readonly group?: string
      readonly since?: number
      readonly until?: number
    },
    { readonly position: number },
    HistoryLine
  >
  /** Items are the canonical bytes of the events, as text. With `follow` it ends when it is cancelled or the site closes. */
  log: Op<
    {
      readonly after?: number
      readonly type?: string
      readonly client?: string
      readonly image?: string
      readonly group?: string
      readonly follow?: boolean
    },
    { readonly position: number },
    string
  >
  "links.at": Op<Moment, LinksThen>
  "links.diff": Op<{ readonly from: Moment; readonly to: Moment }, LinkDiffAnswer>
  /** Brings clients and their own links back to a moment, by events of today. */
  "links.restore": Op<Moment & { readonly discardKept?: boolean }, Changed & { readonly asOf: AsOf }>
}
