/**
 * Somebody who knows the format edits a real store, in LevelDB, with every checksum, position and head made right: at random positions.
 *
 * | edit                              | `audit verify` | at a start, publishing  | `audit consistency`, a note somebody kept |
 * |-----------------------------------|----------------|-------------------------|-------------------------------------------|
 * | an event changed                  | where          | in the newest tile      | if it was published anew                  |
 * | one dropped, the rest moved down  | where          | always                  | always                                    |
 * | two swapped                       | where          | in the newest tile      | if it was published anew                  |
 * | the tail cut off                  | where          | always                  | always                                    |
 *
 * `IMAGELINK_SEEDS` is how many positions are tried; a failure prints its seed.
 */
import { rmSync } from "node:fs"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { openDatabase } from "../../../core/log/database.ts"
import { seal } from "../../../core/log/envelope.ts"
import { replaceHead } from "../../../core/log/head.ts"
import { eventKey } from "../../../core/log/keys.ts"
import { storePaths } from "../../../core/log/store-files.ts"
import { Publisher } from "../../../core/log/tiles/publisher.ts"
import { auditOperations } from "../../../core/runtime/operations/audit.ts"
import type { Parts } from "../../../core/runtime/parts.ts"
import { actor, copyData } from "../../support/data-folder.ts"
import { type Random, random } from "../support/random.ts"
import { append, database, discard, newStore, noted, temporary, withLog } from "../support/store.ts"

const count = 300
/** Positions from here on are under the newest tile, which every start looks at. */
const newestTile = 257
const keptSize = 280
const seeds = Array.from({ length: Math.min(60, Number(process.env.IMAGELINK_SEEDS ?? 4)) }, (_, i) => i + 1)

let source: string
let dir: string
let kept = ""

/** What an auditor and a starting server do. */
const audit = <A>(use: (ask: ReturnType<typeof auditOperations>, publisher: Publisher) => Promise<A>): Promise<A> =>
  withLog(dir, async (log) => {
    const publisher = new Publisher({ dir, log, key: () => log.key })
    return use(auditOperations({ log, publisher: async () => publisher } as unknown as Parts), publisher)
  })
const verify = () => audit((ask) => ask["audit.verify"]({}, { actor }))
const start = () => audit((_, publisher) => publisher.check())
const publish = () => audit((_, publisher) => publisher.publish())
const consistency = () => audit((ask) => ask["audit.consistency"]({ note: kept, file: "old.note" }, { actor }))

beforeAll(async () => {
  source = await newStore("tamper")
  dir = source
  await withLog(dir, async (log) => {
    const publisher = new Publisher({ dir, log, key: () => log.key })
    for (let n = 1; n <= count / 10; n++) {
      await append(log, n, { events: Array.from({ length: 10 }, (_, i) => noted(`${n} ${i}`)) })
      if (n * 10 === keptSize) kept = (await publisher.publish()).note
    }
    await publisher.publish()
  })
  dir = temporary("tampered")
})
afterAll(() => {
  discard(source)
  discard(dir)
})

type Edit = (events: Array<string>, at: number, dice: Random) => number
const edits: Readonly<Record<string, Edit>> = {
  "an event changed": (events, at, dice) => {
    const text = /"text":"([^"]*)"/.exec(events[at - 1]!)!
    const i = text.index + 8 + dice.below(text[1]!.length)
    events[at - 1] = `${events[at - 1]!.slice(0, i)}~${events[at - 1]!.slice(i + 1)}`
    return at
  },
  "an event dropped": (events, at) => {
    events.splice(at - 1, 1)
    return at
  },
  "two events swapped": (events, at, dice) => {
    const other = at === count ? 1 + dice.below(count - 1) : at + 1 + dice.below(count - at)
    const [a, b] = [events[at - 1]!, events[other - 1]!]
    events[at - 1] = b
    events[other - 1] = a
    return Math.min(at, other)
  },
  "the tail cut off": (events, at) => {
    events.splice(at - 1)
    return at
  },
}

/** Writes the edited events through LevelDB itself, numbered anew, and sets the head right. */
const tampered = async (edit: Edit, at: number, dice: Random): Promise<number> => {
  copyData(source, dir)
  const paths = storePaths(dir)
  const db = await openDatabase(database, paths.database, false)
  const stored = await db.values({ gte: eventKey(1), valueEncoding: "buffer" }).all()
  const events = (stored as ReadonlyArray<Buffer>).map((value) => value.subarray(4).toString("utf8"))
  const first = edit(events, at, dice)
  const numbered = events.map((text, i) => text.replace(/"position":\d+/, `"position":${i + 1}`))
  await db.batch(numbered.map((text, i) => ({ type: "put", key: eventKey(i + 1), value: seal(text) as Buffer })))
  for (let p = events.length + 1; p <= count; p++) await db.del(eventKey(p))
  // an index without events would be noticed at once
  if (events.length === 0) await db.clear()
  // the scan before opening refuses a log in which positions are written again; in a table nobody sees when they were
  await (db as unknown as { compactRange(from: string, to: string): Promise<void> }).compactRange("0", "g")
  await db.close()
  replaceHead(paths.head, events.length, numbered.length === 0 ? "" : JSON.parse(numbered.at(-1)!).command)
  return first
}

it("holds when nobody touched it, and extends what was kept", async () => {
  copyData(source, dir)
  expect(await verify()).toMatchObject({ size: count, published: count })
  expect(await consistency()).toMatchObject({ from: keptSize, to: count })
})

describe.each(Object.keys(edits))("%s", (name) => {
  const shortens = name === "an event dropped" || name === "the tail cut off"

  it.each(seeds)("is located, nothing is signed over it, and a kept checkpoint shows it (seed %d)", async (seed) => {
    const dice = random(seed * 7 + name.length)
    const at = seed === 1 ? 1 : seed === 2 ? keptSize : 1 + dice.below(keptSize)
    const first = await tampered(edits[name]!, at, dice)
    const hint = `seed ${seed}: ${name} at ${at}`
    await expect(verify(), hint).rejects.toMatchObject({
      code: "AUDIT_FAILED",
      message: `the log does not hold at position ${first}`,
    })
    if (shortens || at >= newestTile) {
      await expect(start(), hint).rejects.toMatchObject({ code: "LOG_FORKED" })
      await expect(publish(), hint).rejects.toMatchObject({ code: "LOG_FORKED" })
    }
    // with the site's key, tiles and checkpoint can be made to agree; only what others kept still tells
    rmSync(join(dir, "tlog"), { recursive: true })
    await publish()
    expect(await verify(), hint).toMatchObject({
      published: shortens && name === "the tail cut off" ? at - 1 : expect.any(Number),
    })
    await expect(consistency(), hint).rejects.toMatchObject({ code: "AUDIT_FAILED" })
  })
})
