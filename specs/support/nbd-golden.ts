/** Reads what specs/wire/nbd/capture.ts wrote: runs of bytes, each from the client (`C`) or the server (`S`). */
import { readFileSync } from "node:fs"
import { join } from "node:path"

export interface Run {
  readonly who: "C" | "S"
  readonly bytes: Buffer
}

const folder = join(import.meta.dirname, "../wire/nbd")

export const golden = (name: string): ReadonlyArray<Run> =>
  readFileSync(join(folder, `${name}.txt`), "utf8")
    .split("\n")
    .filter((line) => /^[CS] /u.test(line))
    .map((line) => ({ who: line[0] as "C" | "S", bytes: Buffer.from(line.slice(2), "hex") }))

export const goldenNames = ["libnbd-info", "libnbd-list", "libnbd-map", "qemu-io", "nbd-client-list"] as const

/** Everything one side said, in one buffer. */
export const said = (runs: ReadonlyArray<Run>, who: "C" | "S"): Buffer =>
  Buffer.concat(runs.filter((r) => r.who === who).map((r) => r.bytes))
