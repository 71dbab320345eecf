/** `imagelink group …` */
import { fail } from "../../../core/errors.ts"
import type { GroupRow } from "../../../core/projections/groups.ts"
import type { GroupMember } from "../../../core/runtime/site/groups.ts"
import { asked, type MomentOptions, momentOf, sayAsOf } from "../moment.ts"
import type { CommonOptions } from "../options.ts"
import { type Column, count, print, printJson, table } from "../output.ts"
import { callOptions, withSite } from "../site.ts"
import { type BootOption, optionChanges } from "./boot-options.ts"
import { printChanged } from "./changed.ts"
import { policyOf, slotOf } from "./link-options.ts"

interface OptionOptions extends CommonOptions {
  readonly option?: ReadonlyArray<BootOption>
}
interface DiscardOptions extends CommonOptions {
  readonly discardKept?: boolean
}

const discarding = ({ discardKept }: DiscardOptions): { discardKept?: true } => (discardKept ? { discardKept } : {})

export const create = (options: OptionOptions, name: string, clients: ReadonlyArray<string>): Promise<void> => {
  const boot = optionChanges(options.option, "group create")
  return withSite(options, true, async (site) => {
    printChanged(options, await site.call("group.create", { name, clients, ...boot }, callOptions(options)))
  })
}

export const add = (options: CommonOptions, group: string, clients: ReadonlyArray<string>): Promise<void> =>
  withSite(options, false, async (site) => {
    printChanged(options, await site.call("group.change", { group, add: clients }, callOptions(options)))
  })

export const drop = (options: DiscardOptions, group: string, clients: ReadonlyArray<string>): Promise<void> =>
  withSite(options, false, async (site) => {
    const input = { group, drop: clients, ...discarding(options) }
    printChanged(options, await site.call("group.change", input, callOptions(options)))
  })

export const set = (options: OptionOptions & { name?: string }, group: string): Promise<void> => {
  const boot = optionChanges(options.option, "group set")
  const { name } = options
  if (name === undefined && boot.options === undefined)
    throw fail("USAGE", {
      why: "say what to change: --name, --option or --no-option",
      see: "imagelink group set --help",
    })
  return withSite(options, false, async (site) => {
    const input = { group, ...(name === undefined ? {} : { name }), ...boot }
    printChanged(options, await site.call("group.change", input, callOptions(options)))
  })
}

interface LinkOptions extends DiscardOptions {
  readonly slot: string
  readonly overlay?: string
}

export const link = (options: LinkOptions, group: string, image: string): Promise<void> => {
  const overlay = policyOf(options.overlay, "group link")
  const slot = slotOf(options.slot)
  return withSite(options, false, async (site) => {
    const input = { group, image, slot, ...(overlay === undefined ? {} : { overlay }), ...discarding(options) }
    printChanged(options, await site.call("group.link", input, callOptions(options)))
  })
}

export const unlink = (options: LinkOptions, group: string): Promise<void> => {
  const slot = slotOf(options.slot)
  return withSite(options, false, async (site) => {
    const input = { group, slot, ...discarding(options) }
    printChanged(options, await site.call("group.unlink", input, callOptions(options)))
  })
}

export const remove = (options: DiscardOptions, group: string): Promise<void> =>
  withSite(options, false, async (site) => {
    printChanged(options, await site.call("group.remove", { group, ...discarding(options) }, callOptions(options)))
  })

type Link = GroupRow["links"][number]

const linkText = (l: Link): string =>
  `${l.slot}: ${l.image}${l.pinned === null ? "" : `@${l.pinned} pinned`}${l.overlay === "keep" ? " keep" : ""}`

const optionsText = (options: GroupRow["options"]): string =>
  Object.entries(options)
    .map(([key, value]) => `${key}=${value}`)
    .join(", ")

const columns: ReadonlyArray<Column<GroupRow>> = [
  { title: "GROUP", value: (r) => r.name },
  { title: "MEMBERS", align: "right", value: (r) => String(r.members.length) },
  { title: "DISKS", value: (r) => (r.links.length === 0 ? "not linked" : r.links.map(linkText).join(", ")) },
  { title: "OPTIONS", value: (r) => optionsText(r.options) || "-" },
]

export const list = (options: CommonOptions): Promise<void> =>
  withSite(options, false, async (site) => {
    const rows = await site.call("group.list", {}, callOptions(options))
    if (options.json) printJson(rows)
    else print(rows.length === 0 ? "no groups; make one: imagelink group create NAME CLIENT..." : table(columns, rows))
  })

const slotColumns: ReadonlyArray<Column<Link>> = [
  { title: "SLOT", align: "right", value: (l) => String(l.slot) },
  { title: "IMAGE", value: (l) => (l.pinned === null ? l.image : `${l.image}@${l.pinned}`) },
  { title: "LINK", value: (l) => (l.pinned === null ? "follows" : "pinned") },
  { title: "OVERLAY", value: (l) => l.overlay },
]

/** A member's disks; whose link each is, where it is not this group's. */
const disksText = (group: string, { links }: GroupMember): string => {
  const from = (source: string) => (source === `group:${group}` ? "" : ` (${source})`)
  if (links.length === 0) return "not linked"
  return links.map((l) => `${l.slot}: ${l.image}@${l.version}${from(l.source)}`).join(", ")
}

export const show = (options: MomentOptions, key: string): Promise<void> => {
  const moment = momentOf(options)
  return withSite(options, false, async (site) => {
    const answer = await site.call("group.show", { group: key, ...moment }, callOptions(options))
    if (asked(options)) sayAsOf(answer)
    if (options.json) return printJson(answer)
    const { group, members } = answer
    print(`${group.name}  ${count(members.length, "member")}, id ${group.id}`)
    print(group.links.length === 0 ? "not linked" : table(slotColumns, group.links))
    for (const [option, value] of Object.entries(group.options)) print(`option ${option}=${value}`)
    if (members.length === 0) return
    const memberColumns: ReadonlyArray<Column<GroupMember>> = [
      { title: "CLIENT", value: (m) => m.name },
      { title: "MAC", value: (m) => m.mac },
      { title: "ADDRESS", value: (m) => m.address ?? "-" },
      { title: "DISKS", value: (m) => disksText(group.name, m) },
    ]
    print(table(memberColumns, members))
  })
}
