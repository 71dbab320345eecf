/**
 * Complete DHCP exchanges a second beside Kea (memfile) and dnsmasq, and what each costs the server; 1,000 machines with reservations.
 *
 *     npm run bench -- dhcp [rounds] [seconds] [rates]     needs root, kea-admin, kea-dhcp4-server, dnsmasq-base, and dist/
 *
 * **Details** All serve at once, one is loaded at a time, in turn, rate by rate and round by round. perfdhcp begins exchanges at a rate, whether
 * or not the earlier are complete, so a server that cannot keep up completes fewer than at a lower rate; what counts is its best rate. Kea
 * runs as it comes (one thread) and with two. Each figure is a median of rounds.
 *
 * **What it does not show** perfdhcp shares the cores with the server, and where it has to wait for one its own socket's buffer overflows: such an exchange is not complete,
 * though the server did all of it. Where much is lost so, complete exchanges say more about perfdhcp than about servers; what each costs a server stays true. dnsmasq and Kea write a lease for each ACK (neither syncs it); we write
 * none for a recorded address, which is the point of recording it.
 */
import { mkdtempSync, rmSync } from "node:fs"
import { loadavg, tmpdir } from "node:os"
import { join } from "node:path"
import {
  type DhcpMeasured,
  type DhcpTarget,
  measure,
  reservations,
  startDnsmasq,
  startKea,
  startOurs,
} from "./support/dhcp-servers.ts"
import { median } from "./support/load.ts"
import { toPutAway } from "./support/put-away.ts"

const machines = 1000
const aim = 5000

const cell = (x: number): string => Math.round(x).toString().padStart(11)

const main = async (rounds: number, seconds: number, rates: ReadonlyArray<number>): Promise<void> => {
  const dir = mkdtempSync(join(tmpdir(), "imagelink-bench-"))
  const removeDir = toPutAway(() => rmSync(dir, { recursive: true, force: true }))
  const all = reservations(machines)
  const targets: Array<DhcpTarget> = []
  try {
    targets.push(await startOurs(join(dir, "ours"), all))
    targets.push(await startKea(join(dir, "kea"), all, 0), await startKea(join(dir, "kea2"), all, 2))
    targets.push(await startDnsmasq(join(dir, "dnsmasq"), all))
    for (const t of targets) await measure(t, { rate: 1000, seconds: 2, machines })
    const names = targets.map(({ name }) => name.padStart(11)).join("")
    console.log(
      `${"begun/s".padStart(8)}  complete/s${" ".repeat(11 * targets.length - 11)} for each CPU-second of the server${" ".repeat(11 * targets.length - 33)}% of its answers lost by perfdhcp`,
    )
    console.log(`${"".padStart(8)}${names}${names}${names}`)
    const best = targets.map(() => 0)
    for (const rate of rates) {
      const got: ReadonlyArray<Array<DhcpMeasured>> = targets.map(() => [])
      for (let round = 0; round < rounds; round++)
        for (const [i, t] of targets.entries()) got[i]!.push(await measure(t, { rate, seconds, machines }))
      const of = (figure: (m: DhcpMeasured) => number) => got.map((each) => median(each.map(figure)))
      const complete = of((m) => m.perSecond)
      for (const [i, n] of complete.entries()) best[i] = Math.max(best[i]!, n)
      console.log(
        `${cell(rate).slice(-8)}${complete.map(cell).join("")}${of((m) => m.perCpuSecond)
          .map(cell)
          .join("")}${of((m) => m.lostPercent)
          .map(cell)
          .join("")}`,
      )
    }
    console.log(`${"best".padStart(8)}${best.map(cell).join("")}`)
    const [ours = 0, ...theirs] = best
    const ratios = theirs.map((n, i) => `${(ours / n).toFixed(2)}${ours < n ? "!" : ""} of ${targets[i + 1]!.name}`)
    console.log(`ours: ${Math.round(ours)}/s${ours < aim ? "!" : ""} (aim ${aim}), ${ratios.join(", ")}`)
    console.log(
      `medians of ${rounds} rounds of ${seconds} s; "!": below the aim; load average ${loadavg()[0]!.toFixed(1)}`,
    )
  } finally {
    for (const t of targets) await t.stop()
    await removeDir()
  }
}

const rates = (process.argv[4] ?? "1000,2500,5000,7500,10000,15000").split(",").map(Number)
await main(Number(process.argv[2] ?? 3), Number(process.argv[3] ?? 3), rates)
