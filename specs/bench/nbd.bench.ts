/**
 * NBD reads through the whole stack (guard, overlay, version, cache) beside `nbdkit file` and `qemu-nbd` on the same file.
 *
 *     npm run bench -- nbd [rounds] [seconds] [filter]      needs fio with its nbd engine, nbdkit, qemu-nbd, and dist/
 *
 * **Details** All three serve the same file at once; fio loads one at a time, in turn, row by row and round by round, so that a change of
 * the machine's speed meets all alike. Each figure is a median of rounds. Ours serves `client/PC-001/0`, a writable disk that was never
 * written, from a warm cache as large as the file.
 *
 * **What it does not show** The load shares the cores, so IOPS are bounded by it, and the figure that counts is I/O per server CPU-second. One
 * event loop also has one core where the others have all; that is in the IOPS. Loopback is no network. All are warm: the peers read the
 * page cache, ours reads its own. Nothing here is cold or written.
 */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { compare } from "./support/compare.ts"
import { writeRandomImage } from "./support/image.ts"
import { type Load, measure, type Target, title } from "./support/load.ts"
import { startNbdkit, startOurs, startQemuNbd } from "./support/targets.ts"

const MiB = 2 ** 20
const sizeBytes = 512 * MiB

const loads: ReadonlyArray<Load> = ["4k", "64k"].flatMap((bs) =>
  [1, 16, 64].flatMap((depth) => [1, 8].map((connections) => ({ rw: "randread" as const, bs, depth, connections }))),
)

/** Beside nbdkit: 1.2 at 4 KiB from depth 16 on, 2 there with eight connections, 0.9 elsewhere. Beside qemu-nbd: 1.5 everywhere. */
const aims = ({ bs, depth, connections }: Load): ReadonlyArray<number> => {
  const deep = bs === "4k" && depth >= 16
  return [deep ? (connections === 8 ? 2 : 1.2) : 0.9, 1.5]
}

const main = async (rounds: number, seconds: number, filter: string): Promise<void> => {
  const dir = mkdtempSync(join(tmpdir(), "imagelink-bench-"))
  const image = join(dir, "bench.raw")
  writeRandomImage(image, sizeBytes)
  const targets: Array<Target> = []
  try {
    targets.push(await startOurs(join(dir, "data"), image, "1G"))
    targets.push(await startNbdkit("file", image), await startQemuNbd(image))
    for (const t of targets) await measure(t, { rw: "read", bs: "256k", depth: 8, connections: 1 }, sizeBytes, 2)
    const chosen = loads.filter((load) => title(load).includes(filter))
    await compare({ targets, loads: chosen, sizeBytes, rounds, seconds, aims })
  } finally {
    for (const target of targets) await target.stop()
    rmSync(dir, { recursive: true, force: true })
  }
}

await main(Number(process.argv[2] ?? 5), Number(process.argv[3] ?? 1), process.argv[4] ?? "")
