/**
 * NBD reads through the whole stack (guard, overlay, version, cache) beside `nbdkit file` and `qemu-nbd` on the same file.
 *
 *     npm run bench -- nbd [rounds] [seconds] [filter]      needs fio with its nbd engine, nbdkit, qemu-nbd, and dist/
 *
 * **Details** All three serve the same file at once; fio loads one at a time, in turn, row by row and round by round, so that a change of
 * the machine's speed meets all alike. Each figure is a median of rounds. Ours serves `client/PC-001/0`, a writable disk that was never
 * written, from a warm cache as large as the file.
 *
 * **What it does not show** The load shares the cores, so IOPS are bounded by it, and the figure that counts is I/O per server CPU-second.
 * Loopback is no network. All are warm: the peers read the page cache, ours reads its own. Nothing here is cold.
 */

import { randomFillSync } from "node:crypto"
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { type Load, type Measured, measure, median, type Target, title } from "./support/load.ts"
import { startNbdkitFile, startOurs, startQemuNbd } from "./support/targets.ts"

const MiB = 2 ** 20
const sizeBytes = 512 * MiB

const loads: ReadonlyArray<Load> = ["4k", "64k"].flatMap((bs) =>
  [1, 16, 64].flatMap((depth) => [1, 8].map((connections) => ({ rw: "randread" as const, bs, depth, connections }))),
)

/** What the ratio of I/O per CPU-second is to reach, beside nbdkit and beside qemu-nbd. */
const aims = (load: Load): readonly [nbdkit: number, qemu: number] => {
  if (load.bs === "4k" && load.connections === 8) return [2, 1.5]
  return [load.bs === "4k" && load.depth >= 16 ? 1.2 : 0.9, 1.5]
}

const writeImage = (path: string): void => {
  const fd = openSync(path, "w")
  const block = new Uint8Array(4 * MiB)
  for (let at = 0; at < sizeBytes; at += block.length) writeSync(fd, randomFillSync(block), 0, block.length, at)
  closeSync(fd)
}

const ratio = (a: number, b: number, aim: number): string =>
  `${(a / b).toFixed(2).padStart(6)}${a / b >= aim ? " " : "!"}`

const row = (load: Load, all: ReadonlyArray<ReadonlyArray<Measured>>): string => {
  const [ours, nbdkit, qemu] = all.map((m) => median(m.map((x) => x.perCpuSecond))) as [number, number, number]
  const [ourIops, nbdkitIops, qemuIops] = all.map((m) => median(m.map((x) => x.iops))) as [number, number, number]
  const [aimNbdkit, aimQemu] = aims(load)
  const perCpu = [ours, nbdkit, qemu].map((x) => Math.round(x).toString().padStart(9)).join("")
  const iops = [ourIops, nbdkitIops, qemuIops].map((x) => Math.round(x).toString().padStart(9)).join("")
  return `${title(load).padEnd(24)}${perCpu}  ${ratio(ours, nbdkit, aimNbdkit)} ${ratio(ours, qemu, aimQemu)}  ${iops}  ${ratio(ourIops, nbdkitIops, 0)} ${ratio(ourIops, qemuIops, 0)}`
}

const main = async (rounds: number, seconds: number, filter: string): Promise<void> => {
  const dir = mkdtempSync(join(tmpdir(), "imagelink-bench-"))
  const image = join(dir, "bench.raw")
  writeImage(image)
  const targets: Array<Target> = []
  try {
    targets.push(
      await startOurs(join(dir, "data"), image, "1G"),
      await startNbdkitFile(image),
      await startQemuNbd(image),
    )
    for (const target of targets)
      await measure(target, { rw: "read", bs: "256k", depth: 8, connections: 1 }, sizeBytes, 2)
    console.log(
      `${" ".repeat(24)}   I/O per server CPU-second          ratio to                      IOPS          ratio to`,
    )
    console.log(
      `${"load".padEnd(24)}imagelink   nbdkit qemu-nbd  nbdkit   qemu  imagelink   nbdkit qemu-nbd   nbdkit   qemu`,
    )
    for (const load of loads.filter((l) => title(l).includes(filter))) {
      const got: Array<Array<Measured>> = targets.map(() => [])
      for (let round = 0; round < rounds; round++)
        for (const [i, target] of targets.entries()) got[i]!.push(await measure(target, load, sizeBytes, seconds))
      console.log(row(load, got))
    }
    console.log(`medians of ${rounds} rounds of ${seconds} s; "!": below the aim (I/O per CPU-second)`)
  } finally {
    for (const target of targets) await target.stop()
    rmSync(dir, { recursive: true, force: true })
  }
}

await main(Number(process.argv[2] ?? 5), Number(process.argv[3] ?? 1), process.argv[4] ?? "")
