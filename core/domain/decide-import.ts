/**
 * Decider of ImportClients: a file of clients is registered and linked in one command, or refused with every bad line named.
 *
 * **Details** A row that says what is registered changes nothing; if its link is missing or differs, only that is made. What is someone
 * else's, given twice in the file, malformed or unknown makes its line bad, and one bad line refuses the file. Cells are trimmed, and an
 * empty one counts as left out.
 *
 * **Gotchas** Rows without a name get numbered ones that avoid the names of the whole file, not only of the rows above.
 */
import assert from "node:assert"
import { fail, ImagelinkError } from "../errors.ts"
import type { Catalogue, LinkEntry } from "./catalogue.ts"
import type { Body, ImportRow } from "./commands.ts"
import { linkSlot } from "./decide-link.ts"
import { acceptAll, type Decision, event, refuse } from "./decision.ts"
import type { DomainEvent } from "./events.ts"
import { clientRef, findTarget, type Target } from "./lookup.ts"
import { nameKey } from "./names.ts"
import { type Examined, examine, Numbering } from "./registration.ts"

const bootSlot = 0
const cellCharsShown = 80

/** Cut cells stay wrong: nothing that may stand in one is this long. */
const cell = (text: string | undefined): string | undefined => {
  const trimmed = text?.trim()
  if (!trimmed) return undefined
  return trimmed.length > cellCharsShown ? `${trimmed.slice(0, cellCharsShown)}…` : trimmed
}

/** A file's row with its cells cleaned and what the catalogue says about it. */
interface Line {
  readonly line: number
  readonly clientId: string
  readonly image: string | undefined
  readonly who: Examined
}

const readLine = (catalogue: Catalogue, row: ImportRow): Line => {
  const { line, clientId } = row
  const wanted = { clientId, mac: cell(row.mac) ?? "", name: cell(row.name), address: cell(row.address) }
  return { line, clientId, image: cell(row.image), who: examine(catalogue, wanted) }
}

/** Finds what a file gives twice: remembers on which line each value was first. */
const repeats = () => {
  const first = new Map<string, number>()
  return ({ line, clientId, who }: Line): ReadonlyArray<string> => {
    const { mac, name, address } = who
    const values = [
      ["MAC", mac, mac],
      ["name", name, name && nameKey(name)],
      ["address", address, address],
      ["id", clientId, clientId],
    ] as const
    const reasons: Array<string> = []
    for (const [what, shown, key] of values) {
      if (key === undefined) continue
      const before = first.get(`${what} ${key}`)
      if (before === undefined) first.set(`${what} ${key}`, line)
      else reasons.push(`${what} ${shown} is also on line ${before}`)
    }
    return reasons
  }
}

/** Resolves image references, each once however many rows name it. */
const targets = (catalogue: Catalogue) => {
  const found = new Map<string, Target | ImagelinkError>()
  return (reference: string): Target | ImagelinkError => {
    const target = found.get(reference) ?? findTarget(catalogue, reference)
    found.set(reference, target)
    return target
  }
}

/** Whether a group gives a client what its row says; then the row is what is registered, and the link stays the group's. */
const isGiven = ({ group, imageId, pinned }: LinkEntry, target: Target): boolean =>
  group !== undefined && imageId === target.image.id && pinned === target.pinned

/** The events of a line without problems. A kept overlay in the way is one more. */
const eventsOf = (
  catalogue: Catalogue,
  { clientId, who }: Line,
  numbering: Numbering,
  target: Target | undefined,
): ReadonlyArray<DomainEvent> | ImagelinkError => {
  const events: Array<DomainEvent> = []
  const name = who.known?.name ?? who.name ?? numbering.next()
  assert(who.mac !== undefined && name !== undefined, "a line without problems has a MAC, and numbers never run out")
  const client = who.known ? clientRef(who.known) : { id: clientId, name, mac: who.mac }
  if (!who.known) events.push(event("ClientRegistered", { client, address: who.address ?? null }))
  const current = who.known?.links.get(bootSlot)
  if (target && current && isGiven(current, target)) return events
  const linked = target && linkSlot(catalogue, client, bootSlot, current, target)
  if (linked instanceof ImagelinkError) return linked
  if (linked) events.push(linked)
  return events
}

export const importClients = (catalogue: Catalogue, command: Body<"ImportClients">): Decision => {
  const target = targets(catalogue)
  const fallback = cell(command.image)
  const byDefault = fallback === undefined ? undefined : target(fallback)
  if (byDefault instanceof ImagelinkError) return refuse(byDefault)

  const lines = command.rows.map((row) => readLine(catalogue, row))
  const promised = lines.map((line) => line.who.name).filter((name) => name !== undefined)
  const numbering = new Numbering(catalogue, promised)
  const repeated = repeats()
  const events: Array<DomainEvent> = []
  const bad: Array<string> = []
  for (const line of lines) {
    const to = line.image === undefined ? byDefault : target(line.image)
    const reasons = [...line.who.problems.map((p) => p.message), ...repeated(line)]
    if (to instanceof ImagelinkError) reasons.push(to.message)
    else if (reasons.length === 0) {
      const made = eventsOf(catalogue, line, numbering, to)
      if (made instanceof ImagelinkError) reasons.push(made.message)
      else events.push(...made)
    }
    if (reasons.length > 0) bad.push(`line ${line.line}: ${reasons.join("; ")}`)
  }
  if (bad.length === 0) return acceptAll(events)
  const summary = { file: command.file, bad: bad.length, rows: lines.length }
  return refuse(fail("IMPORT_REJECTED", summary, { details: bad }))
}
