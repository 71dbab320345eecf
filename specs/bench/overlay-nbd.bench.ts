/**
 * Overlays over NBD beside `qemu-nbd` on qcow2 overlays, over the same raw base: one client, and sixteen at once on disks of their own.
 *
 *     npm run bench -- overlay-nbd [rounds] [seconds] [filter] [free]      needs fio with its nbd engine, qemu-nbd, qemu-img, qemu-io, and dist/
 *
 * **Details** Ours is one process with its whole stack, 16 clients that discard and 16 that keep. `qemu-nbd` serves one disk a process, so there
 * are 16 of it, each on a qcow2 file (64 KiB clusters, its default) backed by the base, with its default cache mode, which as ours writes to the operating
 * system's memory and syncs when asked. Nobody asks here. They take turns, load by load and round by round; a figure is a median of rounds.
 * Each disk has one session more all the time, as one of a PC that is on: when the last one leaves, the disk closes, and what the operating system has of it is
 * not known any more when it is opened again. All disks are fresh when the bench begins, read once, and then written on: first writes of a place become fewer, for all alike.
 *
 * **Cores** A server has one processor, whichever it is, and the load has the others: so IOPS say what a server does with one, and not who gets more
 * of what the load leaves. With `free` nobody is pinned: sixteen processes of qemu-nbd then have all cores where one event loop has one.
 *
 * **64 KiB reads after scattered writes** are bounded by the operating system: out of pages that 4 KiB writes made, `pread` takes 13 to 15 µs for 64 KiB, and
 * 5 to 6 µs out of those of 64 KiB writes, into which qemu's copy on write turns them (ext4 with large folios).
 *
 * **What it does not show** fio costs more for each I/O than our server does, so where both meet the ceiling of the load, IOPS are alike. I/O per
 * server CPU-second does not depend on that. All is warm; loopback is no network.
 */
import { execFileSync } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { loadavg, tmpdir } from "node:os"
import { join } from "node:path"
import {
  type ClientLoad,
  clientTitle,
  holdOpen,
  type ManyDisks,
  measureClients,
  pin,
  pinningHere,
} from "./support/clients.ts"
import { writeRandomImage } from "./support/image.ts"
import { type Measured, median, type Target } from "./support/load.ts"
import { startOursMany, startQemuNbd } from "./support/targets.ts"

const MiB = 2 ** 20
const sizeBytes = 128 * MiB
const CLIENTS = 16
const AIM = 2
const [rounds, seconds, filter] = [Number(process.argv[2] ?? 3), Number(process.argv[3] ?? 2), process.argv[4] ?? ""]
const pinning = process.argv[5] === "free" ? undefined : pinningHere()

const loads: ReadonlyArray<ClientLoad> = [1, CLIENTS].flatMap((clients) => [
  ...[1, 16].map((depth) => ({ rw: "randrw" as const, bs: "4k", depth, clients })),
  ...["4k", "64k"].flatMap((bs) =>
    (["randread", "randwrite"] as const).map((rw) => ({ rw, bs, depth: clients === 1 ? 16 : 4, clients })),
  ),
])

const cell = (x: number): string => Math.round(x).toLocaleString("en").padStart(10)

const row = (load: ClientLoad, got: ReadonlyArray<ReadonlyArray<Measured>>): string => {
  const side = (figure: (m: Measured) => number, aim: number) => {
    const [discard = 0, keep = 0, qemu = 0] = got.map((all) => median(all.map(figure)))
    const ratio = (x: number) => `${(x / qemu).toFixed(2).padStart(6)}${x / qemu < aim ? "!" : " "}`
    return [discard, keep, qemu].map(cell).join("") + ratio(discard) + ratio(keep)
  }
  const aimed = load.rw === "randrw" && load.clients === CLIENTS
  return `${clientTitle(load).padEnd(24)}${side((m) => m.iops, aimed ? AIM : 0)}   ${side((m) => m.perCpuSecond, 0)}`
}

const main = async (dir: string, stops: Array<() => Promise<void>>): Promise<void> => {
  const image = join(dir, "base.raw")
  writeRandomImage(image, sizeBytes)
  const ours = await startOursMany(join(dir, "data"), image, "512M", CLIENTS)
  stops.push(ours.stop)
  const qemus: Array<Target> = []
  for (let n = 0; n < CLIENTS; n++) {
    const file = join(dir, `overlay-${n}.qcow2`)
    execFileSync("qemu-img", ["create", "-q", "-f", "qcow2", "-b", image, "-F", "raw", file])
    qemus.push(await startQemuNbd(file, "qcow2"))
    stops.push(qemus[n]!.stop)
  }
  const servers: ReadonlyArray<ManyDisks> = [
    { name: "discard", pids: () => [ours.pid], uri: (n) => ours.uri("discard", n) },
    { name: "keep", pids: () => [ours.pid], uri: (n) => ours.uri("keep", n) },
    { name: "qemu-nbd", pids: (clients) => qemus.slice(0, clients).map((q) => q.pid), uri: (n) => qemus[n]!.uri },
  ]
  if (pinning !== undefined) for (const pid of [ours.pid, ...qemus.map((q) => q.pid)]) pin(pid, pinning.servers)
  for (const { uri } of servers)
    for (let n = 0; n < CLIENTS; n++) {
      const letGo = holdOpen(uri(n))
      stops.unshift(async () => letGo())
    }
  const heads = `${servers.map((s) => s.name.padStart(10)).join("")}  ratio  ratio`
  console.log(`${"".padEnd(24)}IOPS${"".padEnd(46)}I/O per server CPU-second\n${"".padEnd(24)}${heads}   ${heads}`)
  const warm: ClientLoad = { rw: "randread", bs: "64k", depth: 8, clients: CLIENTS }
  for (const server of servers) await measureClients(server, warm, sizeBytes, 2)
  for (const load of loads.filter((l) => clientTitle(l).includes(filter))) {
    const got: Array<Array<Measured>> = servers.map(() => [])
    for (let round = 0; round < rounds; round++)
      for (const [i, server] of servers.entries())
        got[i]!.push(await measureClients(server, load, sizeBytes, seconds, pinning))
    console.log(row(load, got))
  }
  const cores = pinning === undefined ? "nobody pinned" : `servers on core ${pinning.servers}, load on ${pinning.load}`
  const busy = loadavg().map((x) => x.toFixed(1))
  console.log(
    `medians of ${rounds} rounds of ${seconds} s; "!": below ${AIM} times; ${cores}; load average ${busy.join(" ")}`,
  )
}

const dir = mkdtempSync(join(tmpdir(), "imagelink-bench-"))
const stops: Array<() => Promise<void>> = []
try {
  await main(dir, stops)
} finally {
  for (const stop of stops) await stop()
  rmSync(dir, { recursive: true, force: true })
}
