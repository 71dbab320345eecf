/**
 * The RAM tier and the hot zone: reads beside a bare buffer, a real boot over a slow base, and what clients see of a move.
 *
 *     npm run bench -- heat [reads|boot|stall] [rounds] [seconds]      `reads` needs fio with its nbd engine; `boot` needs nbdkit
 *
 * **reads**: 4 KiB random reads over NBD by 16 clients, of an image that is in RAM whole, through the whole stack, beside a bare buffer that the same
 * process serves. Aim: 0.95 of its I/O per server CPU-second. The client has just booted, so what it reads is recorded too.
 *
 * **boot**: the boot trace over NBD, one read after the other, on a base behind nbdkit that takes 5 ms for each. The aim is that every client after the first boots as from
 * an image that is in RAM whole.
 *
 * **stall**: the longest time that one of eight clients waits for a read while an image goes to RAM and back, beside the same time without. Clients and server share one
 * process here, and with it one loop. A busy machine stretches a wait, so what the process had of the processors meanwhile is told too: what a wait comes to when nobody
 * else wants them. The aim is 100 ms.
 */
import { mkdtempSync, rmSync } from "node:fs"
import { loadavg, tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { listenNbd } from "../../adapters/nbd/server.ts"
import { guardDevice } from "../../core/block/guard.ts"
import type { Disks } from "../../core/block/lease.ts"
import { compactTrace } from "../support/boot-trace.ts"
import { freePort, startDaemon } from "../support/daemon.ts"
import { type DiskClient, openNbdDisk } from "../support/nbd-disk.ts"
import { random } from "../support/random.ts"
import { type ServingSite, serveHere } from "../support/serving.ts"
import { BareBuffer } from "./support/bare-buffer.ts"
import { compare } from "./support/compare.ts"
import { writeRandomImage } from "./support/image.ts"
import { measure, median } from "./support/load.ts"
import { startScript } from "./support/targets.ts"

const MiB = 2 ** 20
const READS_BYTES = 256 * MiB
const SLOW_MILLIS = 5

const inFolder = async (work: (dir: string) => Promise<void>): Promise<void> => {
  const dir = mkdtempSync(join(tmpdir(), "imagelink-bench-"))
  try {
    await work(dir)
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

const reads = async (rounds: number, seconds: number): Promise<void> => {
  const ours = { ...(await startScript(fileURLToPath(import.meta.url), "client/pc-0/0")), name: "in RAM" }
  const bare = { ...ours, name: "bare", uri: ours.uri.replace("client/pc-0/0", "image/bare") }
  try {
    // Held throughout, so that no round pays for opening the client's disk.
    const held = await openNbdDisk(new URL(ours.uri).host, "client/pc-0/0")
    const loads = [1, 8].map((depth) => ({ rw: "randread" as const, bs: "4k", depth, connections: 16 }))
    for (const target of [ours, bare]) await measure(target, loads[1]!, READS_BYTES, 4)
    await compare({ targets: [ours, bare], loads, sizeBytes: READS_BYTES, rounds, seconds, aims: () => [0.95] })
    await held.close()
  } finally {
    await ours.stop()
  }
}

/** An image in RAM and a bare buffer, as the one server of `reads`. */
const serveReads = async (): Promise<void> => {
  const dir = mkdtempSync(join(tmpdir(), "imagelink-bench-"))
  process.once("SIGTERM", () => {
    rmSync(dir, { recursive: true, force: true })
    process.exit()
  })
  writeRandomImage(join(dir, "bench.raw"), READS_BYTES)
  const here = await serveHere(join(dir, "data"), undefined, 2 * READS_BYTES)
  await here.do("image.add", { name: "os", path: join(dir, "bench.raw"), check: false })
  await here.do("client.add", { mac: "52:54:00:00:00:10", name: "pc-0" })
  await here.do("client.link", { clients: ["pc-0"], image: "os", slot: 0 })
  await here.do("image.place", { name: "os", tier: "ramdisk" })
  const device = guardDevice(new BareBuffer(READS_BYTES))
  const attachImage = async () => ({
    device,
    description: "bare",
    onRevoked: () => () => {},
    release: async () => {},
  })
  const disks: Disks = { attach: (...asked) => here.disks.attach(...asked), attachImage, list: () => [] }
  const server = await listenNbd({ address: "127.0.0.1", port: 0, disks })
  console.log(server.port)
}

/** A serving site with NBD, one image and some clients linked to it. */
const site = async (data: string, path: string, clients: number) => {
  const here = await serveHere(data, undefined, 256 * MiB, 128 * MiB)
  const has = (await here.do("image.list", {})).length > 0
  const names = Array.from({ length: clients }, (_, i) => `pc-${i}`)
  if (!has) {
    await here.do("image.add", { name: "os", path, check: false })
    for (const [i, name] of names.entries())
      await here.do("client.add", { mac: `52:54:00:00:00:${(i + 16).toString(16)}`, name })
    await here.do("client.link", { clients: names, image: "os", slot: 0 })
  }
  const nbd = await listenNbd({ address: "127.0.0.1", port: 0, disks: here.disks })
  const open = (i: number) => openNbdDisk(`127.0.0.1:${nbd.port}`, `client/pc-${i}/0`)
  return { here, open, close: () => nbd.close().then(here.close) }
}

/** nbdkit over a file, taking so long for each read; its address. */
const slowDisk = async (path: string, millis: number) => {
  const port = await freePort()
  const args = ["-f", "-r", "-i", "127.0.0.1", "-p", String(port), "--filter=delay", "file", path, `rdelay=${millis}ms`]
  const { stop } = await startDaemon("nbdkit", args, port)
  return { url: `nbd://127.0.0.1:${port}/`, stop }
}

const boot = (rounds: number) =>
  inFolder(async (dir) => {
    const { reads: trace, clusters } = compactTrace()
    const path = join(dir, "os.raw")
    writeRandomImage(path, Math.ceil((clusters * 65_536) / (4 * MiB)) * 4 * MiB)
    const slow = await slowDisk(path, SLOW_MILLIS)
    const rows = new Map<string, Array<number>>()
    const replay = async (name: string, disk: DiskClient): Promise<void> => {
      const began = performance.now()
      for (const { offset, length } of trace) await disk.read(offset, length)
      rows.set(name, [...(rows.get(name) ?? []), performance.now() - began])
      await disk.close()
    }
    try {
      for (let round = 0; round < rounds; round++) {
        const local = await site(join(dir, `local-${round}`), path, 2)
        await local.here.do("image.place", { name: "os", tier: "ramdisk" })
        const data = join(dir, `slow-${round}`)
        const first = await site(data, slow.url, 4)
        await replay("slow base, first client", await first.open(0))
        for (const [i, name] of ["second", "third"].entries()) {
          await replay(`slow base, ${name} client`, await first.open(1 + i))
          await replay("whole image in RAM", await local.open(0))
        }
        await first.close()
        const second = await site(data, slow.url, 4)
        await replay("slow base, after a restart, read ahead", await second.open(0))
        await second.close()
        const third = await site(data, slow.url, 4)
        await hot(third.here)
        await replay("slow base, after a restart, hot zone in RAM", await third.open(1))
        await third.close()
        await local.close()
      }
    } finally {
      await slow.stop()
    }
    console.log(`${trace.length} reads of ${clusters} clusters; milliseconds, medians of ${rounds} rounds`)
    for (const [name, millis] of rows) console.log(`${name.padEnd(48)}${median(millis).toFixed(0).padStart(8)}`)
  })

type Phase = "still" | "moving"

/** Of all threads of this process: what others on the machine take is not in it. */
const cpuMillis = (): number => {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}

interface Wait {
  readonly millis: number
  readonly cpuMillis: number
}

const hot = (here: ServingSite) => here.do("image.place", { name: "os", tier: "ramdisk", hot: true, share: 100 })

const stall = (rounds: number, seconds: number) =>
  inFolder(async (dir) => {
    const path = join(dir, "os.raw")
    const sizeBytes = 192 * MiB
    writeRandomImage(path, sizeBytes)
    const lab = await site(join(dir, "data"), path, 8)
    const waits: Record<Phase, Array<Wait>> = { still: [], moving: [] }
    const load = async (phase: Phase, work: () => Promise<void>) => {
      let running = true
      const clients = Array.from({ length: 8 }, async (_, i) => {
        const disk = await lab.open(i)
        const r = random(i)
        while (running) {
          const [began, cpu] = [performance.now(), cpuMillis()]
          await disk.read(r.int(sizeBytes / 4096 - 16) * 4096, 4096 * (1 + r.int(16)))
          waits[phase].push({ millis: performance.now() - began, cpuMillis: cpuMillis() - cpu })
        }
        await disk.close()
      })
      await work()
      running = false
      await Promise.all(clients)
    }
    for (let round = 0; round < rounds; round++) {
      await load("still", () => new Promise((resolve) => setTimeout(resolve, seconds * 1000)))
      await load("moving", async () => {
        const until = performance.now() + seconds * 1000
        while (performance.now() < until) {
          await lab.here.do("image.place", { name: "os", tier: "ramdisk" })
          await hot(lab.here)
          await lab.here.do("image.place", { name: "os", tier: "file" })
        }
      })
    }
    await lab.close()
    for (const name of ["still", "moving"] as const) {
      const all = waits[name]
      const of = (figure: keyof Wait) => {
        const sorted = Float64Array.from(all, (wait) => wait[figure]).sort()
        const at = (share: number) => sorted[Math.floor((sorted.length - 1) * share)]!.toFixed(1).padStart(8)
        return `median${at(0.5)}, 99.9 %${at(0.999)}, longest${at(1)}`
      }
      console.log(`${name.padEnd(8)}${all.length} reads; ms: ${of("millis")}; of CPU: ${of("cpuMillis")}`)
    }
  })

const [what = "", rounds = "3", seconds = "2"] = process.argv.slice(2)
if (what === "serve") await serveReads()
else {
  if (what === "" || what === "reads") await reads(Number(rounds), Number(seconds))
  if (what === "" || what === "boot") await boot(Number(rounds))
  if (what === "" || what === "stall") await stall(Number(rounds), Number(seconds))
  console.log(
    `load average ${loadavg()
      .map((l) => l.toFixed(1))
      .join(" ")}`,
  )
}
