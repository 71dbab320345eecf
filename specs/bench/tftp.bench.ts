/**
 * Throughput of one and of 32 transfers of a 1 MiB file beside dnsmasq, tftpd-hpa and atftpd, by real clients, without loss and with 2 %.
 *
 *     npm run bench -- tftp [rounds] [title, a regular expression] [seed]     needs what support/tftp-servers.ts names, root, and dist/
 *
 * **Details** All serve at once, one is asked at a time, in turn and round by round. One transfer is timed ten times in a row. With loss all are asked at the same time,
 * for then everybody waits for timers; each packet is lost with the same chance, drawn from a seed. MiB/s are of all transfers together, medians of rounds.
 *
 * **What it does not show** Clients are processes: starting one is in its time. On loopback nothing is ever late, so blocks go back and forth as fast as
 * two processes take turns.
 */
import { mkdtempSync, rmSync } from "node:fs"
import { loadavg, tmpdir } from "node:os"
import { join } from "node:path"
import { median } from "./support/load.ts"
import { toPutAway } from "./support/put-away.ts"
import { type ClientName, clientNames, startTftpBench, type TftpBench } from "./support/tftp-servers.ts"

const LOSS = 0.02
const inARow = 10

const cell = (x: number): string => x.toFixed(2).padStart(11)

/** Each round begins with another one, and goes the other way round: whoever comes after somebody else finds what that one left behind. */
const inTurn = (count: number, round: number): ReadonlyArray<number> => {
  const places = Array.from({ length: count }, (_, n) => (n + round) % count)
  return round % 2 === 0 ? places : places.reverse()
}

/** MiB/s of each target, for each round. */
const clean = async (bench: TftpBench, client: ClientName, count: number, rounds: number) => {
  const got = bench.targets.map((): Array<number> => [])
  const cpu = bench.targets.map(() => 0)
  for (let round = 0; round < rounds; round++)
    for (const i of inTurn(bench.targets.length, round)) {
      const { address, cpu: used } = bench.targets[i]!
      const before = used()
      let seconds = 0
      const times = count === 1 ? inARow : 1
      for (let n = 0; n < times; n++) seconds += await bench.fetch(client, address, count)
      got[i]!.push((count * times) / seconds)
      cpu[i]! += (used() - before) / (count * times * rounds)
    }
  return { got, cpu }
}

const withLoss = async (bench: TftpBench, client: ClientName, count: number) => ({
  got: await Promise.all(
    bench.targets.map(async ({ lossy }) => [
      await bench.fetch(client, lossy, count).then(
        (s) => count / s,
        () => 0,
      ),
    ]),
  ),
  cpu: bench.targets.map(() => Number.NaN),
})

const main = async (rounds: number, filter: RegExp, seed: number): Promise<void> => {
  const dir = mkdtempSync(join(tmpdir(), "imagelink-bench-"))
  const removeDir = toPutAway(() => rmSync(dir, { recursive: true, force: true }))
  const bench = await startTftpBench(dir, LOSS, seed)
  try {
    const names = bench.targets.map(({ name }) => name.padStart(11)).join("")
    console.log(`${"".padEnd(26)} MiB/s${" ".repeat(11 * bench.targets.length - 6)} server CPU ms for each transfer`)
    console.log(`${"".padEnd(26)}${names}${names}  ratio to the best of the others`)
    for (const loss of [0, LOSS])
      for (const client of clientNames)
        for (const count of [1, 32]) {
          const title = `${client} x${count}${loss > 0 ? ` ${loss * 100} % lost` : ""}`
          if (!filter.test(title)) continue
          const { got, cpu } =
            loss === 0 ? await clean(bench, client, count, rounds) : await withLoss(bench, client, count)
          const [ours = 0, ...theirs] = got.map(median)
          const ratio = ours / Math.max(...theirs)
          const shown = [ours, ...theirs].map(cell).join("") + cpu.map((s) => cell(s * 1000)).join("")
          console.log(`${title.padEnd(26)}${shown}${cell(ratio)}${ratio < 1 ? "!" : ""}`)
        }
    console.log(
      `medians of ${rounds} rounds; "!": below 1; 0.00: not fetched; seed ${seed}; load average ${loadavg()[0]!.toFixed(1)}`,
    )
  } finally {
    await bench.stop()
    await removeDir()
  }
}

await main(Number(process.argv[2] ?? 3), new RegExp(process.argv[3] ?? "", "u"), Number(process.argv[4] ?? 1))
