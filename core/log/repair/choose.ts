/**
 * Chooses the events that the log had, out of what the database still holds and what the entry bundles hold.
 *
 *     1 … checkpoint     exactly the events that give the signed root, from either place; nothing else will do
 *     … tiles, head      must be there: they were published or acknowledged
 *     beyond             whole commands only: what a crash left of one was never acknowledged
 *
 * **Details** A position that nobody can give is lost, and the choice ends before it. Two contents for one position, neither of which a
 * tile vouches for, count as lost too, because nothing says which of them was acknowledged.
 */
import type { CommandEntry } from "../command-index.ts"
import { rootOf } from "../merkle/frontier.ts"
import { leafHash, sameHash } from "../merkle/hash.ts"
import { type Evidence, isVouched } from "./evidence.ts"
import { commandOf } from "./fields.ts"
import type { Salvaged } from "./salvage.ts"

export interface Chosen {
  /** Event N is at index N - 1; up to the first that is lost. */
  readonly events: ReadonlyArray<Uint8Array>
  readonly commands: ReadonlyArray<CommandEntry>
  /** Positions that were acknowledged or published and are nowhere. */
  readonly lost: ReadonlyArray<number>
  /** Why no choice gives what was signed. */
  readonly contradiction: string | undefined
  /** How many were taken from the bundles because the database does not have them as they were signed. */
  readonly fromBundles: number
  /** Commands whose index entry is gone: repeating one is judged by its id alone. */
  readonly withoutEntry: number
}

type Pick = Uint8Array | undefined

export const choose = (salvaged: Salvaged, evidence: Evidence, head: number): Chosen => {
  const size = evidence.checkpoint?.size ?? 0
  const picks: Array<Pick> = []
  for (let p = 1; p <= size; p++) picks.push(published(salvaged, evidence, p))
  const contradiction = agree(salvaged, evidence, picks)
  const last = Math.max(size, evidence.extent, head)
  for (let p = size + 1; p <= last; p++) picks.push(newer(salvaged, evidence, p))
  if (!picks.includes(undefined)) beyond(salvaged, picks)
  const lost = picks.flatMap((pick, i) => (pick === undefined ? [i + 1] : []))
  const events = (lost.length === 0 ? picks : picks.slice(0, lost[0]! - 1)) as ReadonlyArray<Uint8Array>
  const whole = lost.length === 0 ? events : withoutPart(events, salvaged)
  const isStored = (bytes: Uint8Array, i: number) => alone(salvaged, i + 1, bytes)
  return {
    events: whole,
    lost,
    contradiction,
    fromBundles: whole.filter((bytes, i) => !isStored(bytes, i)).length,
    ...indexOf(whole, salvaged),
  }
}

/** Whether the database shows these bytes, and no others, at a position. */
const alone = (salvaged: Salvaged, position: number, bytes: Uint8Array): boolean => {
  const stored = salvaged.events.get(position)
  return stored?.length === 1 && Buffer.compare(stored[0]!, bytes) === 0
}

const candidates = (salvaged: Salvaged, evidence: Evidence, position: number): ReadonlyArray<Uint8Array> => [
  ...(salvaged.events.get(position) ?? []),
  ...evidence.entries(position),
]

const allSame = ([first, ...rest]: ReadonlyArray<Uint8Array>): boolean =>
  first !== undefined && rest.every((bytes) => Buffer.compare(bytes, first) === 0)

/** Under the checkpoint: what a tile vouches for, else the bundle's, else the database's. */
const published = (salvaged: Salvaged, evidence: Evidence, position: number): Pick => {
  const all = candidates(salvaged, evidence, position)
  if (allSame(all)) return all[0]
  return all.find((bytes) => isVouched(evidence, position, bytes)) ?? evidence.entries(position)[0] ?? all[0]
}

/** Between checkpoint and head: the database's, or a bundle's that its tile vouches for. */
const newer = (salvaged: Salvaged, evidence: Evidence, position: number): Pick => {
  const stored = salvaged.events.get(position) ?? []
  const vouched = candidates(salvaged, evidence, position).find((bytes) => isVouched(evidence, position, bytes))
  return vouched ?? (stored.length === 1 ? stored[0] : undefined)
}

/** Makes the picks under the checkpoint give its root, where any can; answers why none do. Picks that cannot be right are dropped. */
const agree = (salvaged: Salvaged, evidence: Evidence, picks: Array<Pick>): string | undefined => {
  const { checkpoint } = evidence
  if (checkpoint === undefined || checkpoint.size === 0) return undefined
  const gives = (tries: ReadonlyArray<Pick>) =>
    tries.every((bytes) => bytes !== undefined) &&
    sameHash(rootOf(tries.map((bytes) => leafHash(bytes))), checkpoint.root)
  if (gives(picks)) return undefined
  const choices: ReadonlyArray<(position: number) => Pick> = [
    (position) => salvaged.events.get(position)?.at(-1),
    (position) => evidence.entries(position)[0],
  ]
  for (const choice of choices) {
    const tries = picks.map((pick, i) => choice(i + 1) ?? pick)
    if (!gives(tries)) continue
    tries.forEach((bytes, i) => {
      picks[i] = bytes
    })
    return undefined
  }
  return dropForeign(evidence, picks)
}

/** With tiles that give the root, each event is judged by its own hash; what does not match is lost. */
const dropForeign = (evidence: Evidence, picks: Array<Pick>): string | undefined => {
  const { size, root } = evidence.checkpoint!
  const hashes = picks.map((_, i) => evidence.hashes(i + 1)[0])
  const known = hashes.every((hash) => hash !== undefined) && sameHash(rootOf(hashes as Array<Uint8Array>), root)
  if (known) {
    picks.forEach((pick, i) => {
      if (pick !== undefined && !sameHash(leafHash(pick), hashes[i]!)) picks[i] = undefined
    })
  }
  if (picks.includes(undefined)) return undefined
  return `the ${size} events that are left do not give the root of the signed checkpoint, and no tile says which of them is wrong`
}

/** Whole commands after everything that must be there. */
const beyond = (salvaged: Salvaged, picks: Array<Pick>): void => {
  for (;;) {
    const from = picks.length + 1
    const [first] = salvaged.events.get(from) ?? []
    const entry = first && salvaged.commands.get(commandOf(first))
    if (entry?.first !== from) return
    const events = Array.from({ length: entry.count }, (_, i) => salvaged.events.get(from + i))
    if (!events.every((found) => found?.length === 1 && commandOf(found[0]!) === entry.command)) return
    picks.push(...events.map((found) => found![0]))
  }
}

/** All events of a command or none: the last command goes when not all of it is there. */
const withoutPart = (events: ReadonlyArray<Uint8Array>, { commands }: Salvaged): ReadonlyArray<Uint8Array> => {
  const last = events.at(-1)
  if (last === undefined) return events
  const command = commandOf(last)
  let from = events.length - 1
  while (from > 0 && commandOf(events[from - 1]!) === command) from--
  const entry = commands.get(command)
  return entry?.first === from + 1 && entry.count === events.length - from ? events : events.slice(0, from)
}

/** The index entry of every command: the one that was found, or one that only tells its id. */
const indexOf = (events: ReadonlyArray<Uint8Array>, salvaged: Salvaged) => {
  const commands: Array<CommandEntry> = []
  events.forEach((bytes, i) => {
    const command = commandOf(bytes)
    const before = commands.at(-1)
    if (before?.command === command) commands[commands.length - 1] = { ...before, count: before.count + 1 }
    else commands.push({ command, first: i + 1, count: 1, fingerprint: "" })
  })
  let withoutEntry = 0
  const entries = commands.map((made) => {
    const found = salvaged.commands.get(made.command)
    if (found?.first === made.first && found.count === made.count) return found
    withoutEntry++
    return made
  })
  return { commands: entries, withoutEntry }
}
