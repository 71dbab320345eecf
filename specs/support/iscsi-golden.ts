/** Reads what specs/wire/iscsi/capture.ts wrote: connections, each of runs of bytes from the initiator (`C`) or the target (`S`). */
import { readFileSync } from "node:fs"
import { join } from "node:path"

export interface Run {
  readonly who: "C" | "S"
  readonly bytes: Buffer
}

export const goldenNames = ["libiscsi-ls", "libiscsi-inq", "qemu-io"] as const

export const golden = (name: (typeof goldenNames)[number]): ReadonlyArray<ReadonlyArray<Run>> => {
  const connections: Array<Array<Run>> = []
  for (const line of readFileSync(join(import.meta.dirname, `../wire/iscsi/${name}.txt`), "utf8").split("\n")) {
    if (line === "=") connections.push([])
    else if (/^[CS] /u.test(line))
      connections.at(-1)!.push({ who: line[0] as "C" | "S", bytes: Buffer.from(line.slice(2), "hex") })
  }
  return connections
}

/** The opcodes of a stream of PDUs without digests. */
export const opcodesOf = (bytes: Buffer): ReadonlyArray<number> => {
  const found: Array<number> = []
  for (let at = 0; at + 48 <= bytes.length; at += 48 + bytes[at + 4]! * 4 + ((bytes.readUIntBE(at + 5, 3) + 3) & ~3))
    found.push(bytes[at]! & 0x3f)
  return found
}

export const said = (runs: ReadonlyArray<Run>, who: "C" | "S"): Buffer =>
  Buffer.concat(runs.filter((r) => r.who === who).map((r) => r.bytes))
