/**
 * A process killed at any moment loses no event that it acknowledged.
 *
 * **Details** A child appends and prints what was acknowledged; it is killed with SIGKILL after a seeded number of acknowledgements and a
 * seeded moment more. `IMAGELINK_SEEDS` is how many seeds are tried. A store's
 * process is killed twice in a row, so that recovery is hit too. Every other seed has LevelDB's smallest write buffer, so that the kill
 * falls among log changes and compactions.
 */
import { spawn } from "node:child_process"
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import * as Effect from "effect/Effect"
import { expect, it } from "vitest"
import { createStore } from "../../core/log/create-store.ts"
import type { Recorded } from "../../core/log/event-log.ts"
import { type Random, random } from "./support/random.ts"
import { append, database, discard, newStore, readAll, temporary, withLog } from "./support/store.ts"

const child = fileURLToPath(new URL("./support/crash-child.ts", import.meta.url))
const seeds = Array.from({ length: Number(process.env.IMAGELINK_SEEDS ?? 10) }, (_, i) => i + 1)
const commands = 1000

/** Runs the child and kills it; answers the last position it printed. */
const runAndKill = (dir: string, dice: Random, buffers: string): Promise<number> =>
  new Promise((resolve, reject) => {
    const after = dice.below(commands)
    const microseconds = dice.below(400)
    const running = spawn(process.execPath, ["--conditions=source", child, dir, String(commands), buffers])
    let out = ""
    let errors = ""
    let doomed = false
    running.stderr.on("data", (data) => {
      errors += data
    })
    running.stdout.on("data", (data) => {
      out += data
      if (doomed || out.split("\n").length <= after) return
      doomed = true
      const until = process.hrtime.bigint() + BigInt(microseconds) * 1000n
      while (process.hrtime.bigint() < until) {}
      running.kill("SIGKILL")
    })
    running.on("error", reject)
    running.on("close", (code) => {
      if (code !== null && code !== 0) return reject(new Error(`the child ended with ${code}: ${errors}`))
      // a line cut off by the kill was not printed whole, and counts for nothing
      resolve(Number(out.slice(0, out.lastIndexOf("\n")).split("\n").at(-1)))
    })
  })

it.each(seeds)("every acknowledged event is there after kill -9 (seed %d)", async (seed) => {
  const dice = random(seed)
  const dir = await newStore("crash")
  try {
    for (let round = 0; round < 2; round++) {
      const acknowledged = await runAndKill(dir, dice, seed % 2 ? "small" : "normal")
      const [head, events] = await withLog(dir, async (log) => [log.head(), await readAll(log)] as const)
      expect(head, `seed ${seed}, round ${round}`).toBeGreaterThanOrEqual(acknowledged)
      expect(events.map((e) => (e as Recorded).position)).toEqual(Array.from({ length: head }, (_, i) => i + 1))
      wholeCommands(events as ReadonlyArray<Recorded>)
    }
  } finally {
    discard(dir)
  }
})

/** Seven events or one: never a part of a command. */
const wholeCommands = (events: ReadonlyArray<Recorded>) => {
  const counts = new Map<string, number>()
  for (const { command } of events) counts.set(command, (counts.get(command) ?? 0) + 1)
  for (const [command, count] of counts) expect([1, 7], `command ${command}`).toContain(count)
}

it("what a crash left of a store being made is removed when the next one is made", async () => {
  const dir = temporary("crash")
  try {
    const gone = join(dir, "store.new-999999999-abcd")
    const alive = join(dir, `store.new-${process.ppid}-abcd`)
    for (const left of [gone, alive]) {
      mkdirSync(left)
      writeFileSync(join(left, "store.json"), "{")
    }
    await Effect.runPromise(createStore(dir, { site: "lab", now: 1, random: random(3).bytes, database }))
    expect(existsSync(gone)).toBe(false)
    expect(readdirSync(dir).sort()).toEqual(["store", `store.new-${process.ppid}-abcd`])
    expect((await withLog(dir, (log) => append(log, 1))).position).toBe(1)
  } finally {
    discard(dir)
  }
})
