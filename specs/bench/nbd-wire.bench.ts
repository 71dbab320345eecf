/**
 * What the NBD wire code costs: reads and writes of a disk in memory, beside nbdkit's memory plugin.
 *
 *     npm run bench -- nbd-wire [rounds] [seconds] [filter]        needs fio with its nbd engine, and nbdkit
 *
 * **Details** The server runs in a process of its own and does nothing but copy. Runs of both servers alternate; the figures are medians.
 * With the load on the same cores only the ratio means something, give or take a quarter.
 */
import { listenNbd } from "../../adapters/nbd/server.ts"
import { MemoryDevice, MemoryDisks } from "../support/memory-disks.ts"
import { compare } from "./support/compare.ts"
import { type Load, title } from "./support/load.ts"
import { startNbdkit, startScript } from "./support/targets.ts"

const sizeBytes = 256 * 2 ** 20

/** A disk that does nothing but copy. */
class PlainDevice extends MemoryDevice {
  override readSync(into: Uint8Array, at: number, offset: number, length: number): boolean {
    this.bytes.copy(into, at, offset, offset + length)
    return true
  }
  override writeSync(from: Uint8Array, at: number, offset: number, length: number): boolean {
    this.bytes.set(from.subarray(at, at + length), offset)
    return true
  }
}

const serve = async (): Promise<void> => {
  const disks = new MemoryDisks().add("image/bench", new PlainDevice({ sizeBytes }))
  const server = await listenNbd({ address: "127.0.0.1", port: 0, disks })
  process.stdout.write(`${server.port}\n`)
  process.on("SIGTERM", () => void server.close().then(() => process.exit(0)))
}

const loads: ReadonlyArray<Load> = [
  { rw: "randread", bs: "4k", depth: 1, connections: 1 },
  { rw: "randread", bs: "4k", depth: 32, connections: 1 },
  { rw: "randread", bs: "4k", depth: 16, connections: 8 },
  { rw: "randread", bs: "64k", depth: 16, connections: 1 },
  { rw: "read", bs: "256k", depth: 8, connections: 1 },
  { rw: "randwrite", bs: "4k", depth: 32, connections: 1 },
  { rw: "randwrite", bs: "64k", depth: 16, connections: 1 },
  { rw: "write", bs: "256k", depth: 8, connections: 1 },
]

const main = async (rounds: number, seconds: number, filter: string): Promise<void> => {
  const targets = [
    await startScript(import.meta.filename, "image/bench"),
    await startNbdkit("memory", String(sizeBytes)),
  ]
  try {
    await compare({ targets, loads: loads.filter((l) => title(l).includes(filter)), sizeBytes, rounds, seconds })
  } finally {
    for (const target of targets) await target.stop()
  }
}

await (process.argv[2] === "serve"
  ? serve()
  : main(Number(process.argv[2] ?? 5), Number(process.argv[3] ?? 1), process.argv[4] ?? ""))
