/**
 * Whatever single thing is damaged in the database, the log is refused with a name or reads exactly as it was: never fewer, never others.
 *
 * **Details** Three stores: one whose events are all in LevelDB's write-ahead log, one whose older events are in tables as each opening
 * leaves them, and one whose tables were compacted. Positions are
 * sampled with a seed that a failure prints; `IMAGELINK_SEED` chooses another.
 */
import { readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { emptyHead } from "../../core/log/head.ts"
import type { LevelLog } from "../../core/log/level-log.ts"
import { readLogFile } from "../../core/log/leveldb/frames.ts"
import { dataFiles, type Outcome, type Patient, patient } from "./support/damage.ts"
import { random } from "./support/random.ts"
import { append, discard, newStore, noted, open, readAll, request, smallDatabase, withLog } from "./support/store.ts"

const seed = Number(process.env.IMAGELINK_SEED ?? 1)
const samplesPerFile = Number(process.env.IMAGELINK_DAMAGE_SAMPLES ?? 50)

const fill = async (log: LevelLog, from: number, to: number) => {
  for (let n = from; n <= to; n++) await append(log, n)
}

/** 120 commands of one event and one of 130, whose record spans a block's end: all in the write-ahead log. */
const inLog = async (): Promise<string> => {
  const dir = await newStore("in-log")
  await withLog(dir, async (log) => {
    await fill(log, 1, 120)
    await Effect.runPromise(
      log.append(request(900, log, { events: Array.from({ length: 130 }, (_, i) => noted(`bulk ${i}`)) })),
    )
    await fill(log, 121, 130)
  })
  return dir
}

/** Three tables of 60 events each, and 20 more events in the write-ahead log. */
const inTables = async (): Promise<string> => {
  const dir = await newStore("in-tables")
  for (let round = 0; round < 3; round++) await withLog(dir, (log) => fill(log, round * 60 + 1, round * 60 + 60))
  await withLog(dir, (log) => fill(log, 181, 200))
  return dir
}

/** 300 larger events through LevelDB's smallest write buffer: compacted tables, and the rest in the log. */
const compacted = async (): Promise<string> => {
  const dir = await newStore("compacted")
  const { log, close } = await open(dir, { database: smallDatabase })
  for (let n = 1; n <= 300; n++) await append(log, n, { events: [noted(`${n} `.repeat(60))] })
  await close()
  return dir
}

describe.each([
  ["in the write-ahead log", inLog, 260],
  ["in tables and log", inTables, 200],
  ["compacted", compacted, 300],
] as const)("with events %s", (_name, make, count) => {
  let source: string
  let copy: Patient
  let original: string
  let files: ReadonlyArray<string>
  const file = (store: string, name: string) => join(store, "db", name)
  const size = (name: string) => readFileSync(file(join(source, "store"), name)).length

  beforeAll(async () => {
    source = await make()
    copy = patient(source)
    files = dataFiles(source)
    // the events are read from a copy, because opening the source would move its log into a table
    const whole = await copy.damaged(() => {})
    original = "events" in whole ? JSON.stringify(whole.events) : ""
  })
  afterAll(() => {
    discard(source)
    copy.discard()
  })

  const safe = (outcome: Outcome, what: string) => {
    if ("events" in outcome) {
      if (JSON.stringify(outcome.events) === original) return "read"
      expect.fail(`${what}: ${outcome.events.length} events were read silently (seed ${seed})`)
    }
    expect(outcome.changed, `${what}: refused (${outcome.message}), but files were changed (seed ${seed})`).toBe(false)
    return outcome.refused
  }

  it("reads as it was when nothing is damaged", () => {
    expect(JSON.parse(original)).toHaveLength(count)
    expect(files.map((name) => name.replace(/[0-9]+/, "N"))).toContain("N.log")
  })

  /** Where the last record of a log file begins; of a table, where its footer does. */
  const lastRecord = (name: string): number => {
    if (!/log$|^MANIFEST/.test(name)) return Math.max(0, size(name) - 48)
    let at = 0
    readLogFile(file(join(source, "store"), name), (_record, offset) => {
      at = offset
    })
    return at
  }

  /** Offsets to flip: the first, all of the last record, and a seeded sample of the rest. */
  const offsets = (name: string): ReadonlyArray<number> => {
    const dice = random(seed)
    const sample = Array.from({ length: samplesPerFile }, () => dice.below(size(name)))
    const last = Array.from({ length: size(name) - lastRecord(name) }, (_, i) => size(name) - 1 - i)
    return [...new Set([0, ...sample, ...last])]
  }

  it("a flipped byte anywhere in the database is refused, or changes nothing", async () => {
    const dice = random(seed)
    let refused = 0
    let tried = 0
    for (const name of files) {
      for (const offset of offsets(name)) {
        const mask = 1 << dice.below(8)
        const outcome = await copy.damaged((store) => flip(file(store, name), offset, mask))
        if (safe(outcome, `${name} byte ${offset} xor ${mask}`) === "STORE_DAMAGED") refused++
        tried++
      }
    }
    // a canary: were damage never found, all of the above would pass as well
    expect(refused / tried, `refused ${refused} of ${tried}`).toBeGreaterThan(0.95)
  })

  it("a flipped byte of the write-ahead log is refused even when a power loss left the head behind", async () => {
    const dice = random(seed + 3)
    for (const name of files.filter((f) => f.endsWith(".log"))) {
      for (const offset of offsets(name)) {
        const outcome = await copy.damaged((store) => {
          writeFileSync(join(store, "head"), emptyHead())
          flip(file(store, name), offset, 1 << dice.below(8))
        })
        expect(safe(outcome, `${name} byte ${offset}`), `${name} byte ${offset} (seed ${seed})`).toBe("STORE_DAMAGED")
      }
    }
  })

  it("a file cut short anywhere is refused, or changes nothing", async () => {
    const dice = random(seed + 1)
    for (const name of files) {
      for (const length of [0, 1, size(name) - 1, ...Array.from({ length: 25 }, () => dice.below(size(name)))]) {
        const outcome = await copy.damaged((store) => truncateSync(file(store, name), length))
        expect(safe(outcome, `${name} cut to ${length}`)).toBe("STORE_DAMAGED")
      }
    }
  })

  it("a range of zeros anywhere is refused, or changes nothing", async () => {
    const dice = random(seed + 2)
    for (const name of files) {
      for (let n = 0; n < 25; n++) {
        const from = dice.below(size(name))
        const to = n === 0 ? size(name) : Math.min(size(name), from + 1 + dice.below(4096))
        const outcome = await copy.damaged((store) => zero(file(store, name), from, to))
        safe(outcome, `${name} zeroed from ${from} to ${to}`)
      }
    }
  })

  it("a missing file is named, and nothing is begun anew in its place", async () => {
    for (const name of files) {
      const outcome = await copy.damaged((store) => rmSync(file(store, name)))
      expect(outcome).toMatchObject({ refused: "STORE_DAMAGED", changed: false })
      expect("message" in outcome && outcome.message).toContain(`db/${name}`)
    }
  })

  it("the database's folder missing as a whole is refused", async () => {
    const outcome = await copy.damaged((store) => rmSync(join(store, "db"), { recursive: true }))
    expect(outcome).toMatchObject({ refused: "STORE_DAMAGED", changed: false })
  })

  it.each(["store.json", "site.key", "head"])("%s missing is named", async (name) => {
    const outcome = await copy.damaged((store) => rmSync(join(store, name)))
    expect(outcome).toMatchObject({ refused: "STORE_DAMAGED", changed: false })
    expect("message" in outcome && outcome.message).toContain(`store/${name}`)
  })

  it("something half-written after the last acknowledged event is dropped, and the log goes on", async () => {
    const newest = files.filter((name) => name.endsWith(".log")).at(-1)!
    const halves = [[7], [1, 2, 3, 4, 200, 0, 1, 9, 9], new Array(5000).fill(0)]
    for (const half of halves) {
      const tear = (store: string) => writeFileSync(file(store, newest), Uint8Array.from(half), { flag: "a" })
      expect(safe(await copy.damaged(tear), `torn by ${half.length} bytes`)).toBe("read")
      await withLog(copy.dir, (log) => append(log, 5000))
      expect(await withLog(copy.dir, readAll)).toHaveLength(count + 1)
    }
  })
})

const flip = (path: string, offset: number, mask: number) => {
  const bytes = readFileSync(path)
  bytes[offset]! ^= mask
  writeFileSync(path, bytes)
}

const zero = (path: string, from: number, to: number) => {
  const bytes = readFileSync(path)
  bytes.fill(0, from, to)
  writeFileSync(path, bytes)
}
