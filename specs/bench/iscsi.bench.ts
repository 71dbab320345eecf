/**
 * iSCSI reads and writes through the whole stack (guard, overlay, version, cache, format, file plugin) beside Debian's `tgtd` on the same file.
 *
 *     npm run bench -- iscsi [rounds] [seconds] [filter]     needs iscsi-perf, qemu-img with its iscsi driver, tgt, root, and dist/
 *
 * **Details** Both serve at once; one is loaded at a time, in turn, row by row and round by round, so that a change of the machine's speed meets
 * both alike. Each figure is a median of rounds. Reads: `iscsi-perf` on a file that is hot in the page cache and in our cache, ours through
 * `client/PC-001/0`. Writes: `qemu-img bench` on a copy, ours into the overlay, tgtd's into the file.
 *
 * **What it does not show** The load shares the cores, so IOPS are bounded by it; what counts is I/O per server CPU-second. Loopback is no
 * network. Nothing is cold. tgtd has sixteen threads and may use more than one core at a time, we one event loop: on a machine with other work it is given more turns, so that IOPS there
 * tell who waited longer for a core. What each used of the machine is shown as cores. Its writes have no overlay to keep.
 */
import { copyFileSync, mkdtempSync, rmSync } from "node:fs"
import { loadavg, tmpdir } from "node:os"
import { join } from "node:path"
import { writeRandomImage } from "./support/image.ts"
import { type IscsiLoad, type IscsiTarget, measure, startOurs, startTgtd, title } from "./support/iscsi-targets.ts"
import { type Measured, median } from "./support/load.ts"

const MiB = 2 ** 20
const sizeBytes = 256 * MiB

const reads: ReadonlyArray<IscsiLoad> = [4, 64, 256].flatMap((kib) =>
  [1, 8, 32].flatMap((depth) =>
    [1, 4, 16].map((initiators) => ({
      rw: kib === 256 ? ("read" as const) : ("randread" as const),
      kib,
      depth,
      initiators,
    })),
  ),
)
const digests: ReadonlyArray<IscsiLoad> = [4, 64].map((kib) => ({
  rw: "randread",
  kib,
  depth: 32,
  initiators: 1,
  digests: true,
}))
const writes: ReadonlyArray<IscsiLoad> = [4, 64, 256].map((kib) => ({ rw: "write", kib, depth: 32, initiators: 1 }))

/** What the ratio of I/O per CPU-second is to reach; between the depths that have an aim, no worse than tgtd. */
const aim = ({ rw, kib, depth, digests: crc }: IscsiLoad): number => {
  if (rw === "write") return kib === 4 ? 1.5 : kib === 64 ? 1.3 : 1
  if (crc) return 1
  if (depth === 1) return 1.1
  if (depth === 8) return 1
  return kib === 4 ? 3 : kib === 64 ? 1.5 : 2
}

const NOT_SHOWN = [
  "Not shown: a network (this is loopback), cold disks, latency's tail. The load shares the cores, so IOPS are bounded by it, and on a busy machine by who",
  "waits longer for a core: tgtd has sixteen threads to give turns to, we one. tgtd writes into its file, we into an overlay.",
].join("\n")

const cores = (used: number): string => used.toFixed(2).padStart(8)
const cell = (x: number): string => Math.round(x).toString().padStart(10)

const main = async (rounds: number, seconds: number, filter: string): Promise<void> => {
  const dir = mkdtempSync(join(tmpdir(), "imagelink-bench-"))
  const image = join(dir, "bench.raw")
  writeRandomImage(image, sizeBytes)
  const copy = join(dir, "copy.raw")
  copyFileSync(image, copy)
  const targets: Array<IscsiTarget> = []
  try {
    targets.push(await startOurs(join(dir, "data"), image, "512M"), await startTgtd(copy))
    for (const t of targets) await warm(t)
    console.log(`${"".padEnd(26)}  I/O per server CPU-second                IOPS                       cores`)
    console.log(`${"load".padEnd(26)} imagelink      tgtd  ratio (aim)   imagelink      tgtd  ratio   imagelink tgtd`)
    for (const load of [...reads, ...digests, ...writes].filter((l) => title(l).includes(filter))) {
      const got: [Array<Measured>, Array<Measured>] = [[], []]
      for (let round = 0; round < rounds; round++)
        for (const [i, t] of targets.entries()) got[i as 0 | 1].push(await measure(t, load, seconds))
      console.log(row(load, got))
    }
    console.log(
      `medians of ${rounds} rounds of ${seconds} s; "!": below the aim; load average ${loadavg()[0]!.toFixed(1)}`,
    )
    console.log(NOT_SHOWN)
  } finally {
    for (const t of targets) await t.stop()
    rmSync(dir, { recursive: true, force: true })
  }
}

/** Reads the whole file once and over: on a busy machine that takes as long as it takes. */
const warm = async (t: IscsiTarget): Promise<void> => {
  const load: IscsiLoad = { rw: "read", kib: 256, depth: 8, initiators: 1 }
  for (let bytes = 0; bytes < 2 * sizeBytes; ) bytes += (await measure(t, load, 1)).iops * load.kib * 1024
}

const row = (load: IscsiLoad, got: readonly [ReadonlyArray<Measured>, ReadonlyArray<Measured>]): string => {
  const of = (figure: (m: Measured) => number) => got.map((all) => median(all.map(figure))) as [number, number]
  const [ours, theirs] = of((m) => m.perCpuSecond)
  const [iops, theirIops] = of((m) => m.iops)
  const ratio = ours / theirs
  const mark = ratio >= aim(load) ? " " : "!"
  return `${title(load).padEnd(26)}${cell(ours)}${cell(theirs)}${ratio.toFixed(2).padStart(7)}${mark}(${aim(load)})  ${cell(iops)}${cell(theirIops)}${(iops / theirIops).toFixed(2).padStart(7)}${cores(iops / ours)}${cores(theirIops / theirs)}`
}

await main(Number(process.argv[2] ?? 5), Number(process.argv[3] ?? 2), process.argv[4] ?? "")
