/**
 * NBD writes through the whole stack, into a client's overlay, beside `nbdkit file` and `qemu-nbd` on files of their own.
 *
 *     npm run bench -- nbd-write [rounds] [seconds] [filter]      needs fio with its nbd engine, nbdkit, qemu-nbd, and dist/
 *
 * **Details** As nbd.bench.ts, but each server writes to its own copy. Ours writes each grain for the first time now and then (data and map), and
 * over itself later, as a running client does. Nobody flushes: what is timed is the way into the operating system's memory.
 */
import { copyFileSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { compare } from "./support/compare.ts"
import { writeRandomImage } from "./support/image.ts"
import { type Load, type Target, title } from "./support/load.ts"
import { startNbdkit, startOurs, startQemuNbd } from "./support/targets.ts"

const sizeBytes = 256 * 2 ** 20

const loads: ReadonlyArray<Load> = ["4k", "64k", "256k"].flatMap((bs) =>
  [1, 16].flatMap((depth) => [1, 8].map((connections) => ({ rw: "randwrite" as const, bs, depth, connections }))),
)

const main = async (rounds: number, seconds: number, filter: string): Promise<void> => {
  const dir = mkdtempSync(join(tmpdir(), "imagelink-bench-"))
  const [image, second, third] = ["bench.raw", "nbdkit.raw", "qemu.raw"].map((name) => join(dir, name)) as [
    string,
    string,
    string,
  ]
  writeRandomImage(image, sizeBytes)
  for (const copy of [second, third]) copyFileSync(image, copy)
  const targets: Array<Target> = []
  try {
    targets.push(await startOurs(join(dir, "data"), image, "512M"))
    targets.push(await startNbdkit("file", second), await startQemuNbd(third))
    const chosen = loads.filter((load) => title(load).includes(filter))
    await compare({ targets, loads: chosen, sizeBytes, rounds, seconds })
  } finally {
    for (const target of targets) await target.stop()
    rmSync(dir, { recursive: true, force: true })
  }
}

await main(Number(process.argv[2] ?? 5), Number(process.argv[3] ?? 1), process.argv[4] ?? "")
