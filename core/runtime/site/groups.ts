/** What can be asked about groups of clients. */
import type { GroupRow } from "../../projections/groups.ts"
import type { EffectiveLink, OptionChanges } from "./clients.ts"
import type { AsOf, Changed, Moment, Nothing, Op } from "./operation.ts"

export interface GroupMember {
  readonly name: string
  readonly mac: string
  readonly address: string | null
  readonly links: ReadonlyArray<EffectiveLink>
}

export interface GroupShown extends AsOf {
  readonly group: GroupRow
  /** In natural order of their names. */
  readonly members: ReadonlyArray<GroupMember>
}

export interface GroupOperations {
  /** A group is named with or without `group:` in front; so is it among `clients`, anywhere, but there it needs it. */
  "group.create": Op<
    { readonly name: string; readonly clients: ReadonlyArray<string>; readonly options?: OptionChanges },
    Changed
  >
  "group.change": Op<
    {
      readonly group: string
      readonly name?: string
      readonly add?: ReadonlyArray<string>
      readonly drop?: ReadonlyArray<string>
      readonly options?: OptionChanges
      readonly discardKept?: boolean
    },
    Changed
  >
  "group.link": Op<
    {
      readonly group: string
      readonly image: string
      readonly slot: number
      readonly overlay?: "discard" | "keep"
      readonly discardKept?: boolean
    },
    Changed
  >
  "group.unlink": Op<{ readonly group: string; readonly slot: number; readonly discardKept?: boolean }, Changed>
  "group.remove": Op<{ readonly group: string; readonly discardKept?: boolean }, Changed>
  "group.list": Op<Nothing, ReadonlyArray<GroupRow>>
  "group.show": Op<Moment & { readonly group: string }, GroupShown>
}
