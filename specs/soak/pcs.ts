/**
 * A hundred simulated PCs that boot, work and boot again for minutes on end, and what the server needs meanwhile: it must not grow.
 *
 *     node specs/soak/pcs.ts [minutes]
 *
 * **Details** The server is the built one, in a process of its own, and is looked at through its metrics. Each PC goes DHCP → TFTP → script → iSCSI, reads what a
 * real boot reads, writes, comes back, and compares every byte; then it is switched off for some seconds. How late the event loop is, is shown and not judged:
 * it depends on what else the machine does.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { bootTrace } from "../../adapters/cli/demo/boot-trace.ts"
import { type Pc, powerOn } from "../../adapters/cli/demo/power-on.ts"
import { choices, fillSample, writeSample } from "../../adapters/cli/demo/sample.ts"
import { simulate } from "../../adapters/cli/demo/simulated-client.ts"
import { makeStages, type Stages } from "../../adapters/cli/demo/stages.ts"
import { simulatedPcs } from "../../adapters/compose-pcs.ts"
import { sizeText } from "../../core/runtime/sizes.ts"
import { drawn } from "./plot.ts"
import { judged, type Sample, sampleOf } from "./samples.ts"
import { startServer } from "./server.ts"

const minutes = Number(process.argv[2] ?? 30)
const PCS = 100
const OFF_MILLIS = { least: 2000, most: 14_000 }
const SAMPLES = 240
/** One in so many is told while it goes on. */
const SAMPLES_SAID = 12
const DISK_BYTES = 64 * 2 ** 20
const SEED = 20_261_123
/** None of the PCs'. */
const RELAY = "127.77.255.1"

const folder = mkdtempSync(join(tmpdir(), "imagelink-soak-"))
const image = Buffer.alloc(DISK_BYTES)
fillSample(image, SEED)
writeSample(join(folder, "sample.raw"), image)
const program = Buffer.alloc(256 * 1024)
fillSample(program, SEED + 1)
mkdirSync(join(folder, "data", "boot"), { recursive: true })
writeFileSync(join(folder, "data", "boot", "snponly.efi"), program)

const hex = (n: number) => n.toString(16).padStart(2, "0")
const pcs: ReadonlyArray<Pc> = Array.from({ length: PCS }, (_, i) => ({
  name: `PC-${String(i + 1).padStart(3, "0")}`,
  mac: `52:54:00:00:00:${hex(i)}`,
}))
writeFileSync(join(folder, "pcs.csv"), `mac,name\n${pcs.map(({ mac, name }) => `${mac},${name}`).join("\n")}\n`)

const trace = bootTrace(DISK_BYTES)
let boots = 0

/** One PC's life. Its generator decides how long it is off. */
const live = async (pc: Pc, index: number, stages: Stages, wires: Awaited<ReturnType<typeof simulatedPcs>>) => {
  const pick = choices(index + SEED)
  const off = () => sleep(OFF_MILLIS.least + pick(OFF_MILLIS.most - OFF_MILLIS.least))
  await off()
  while (performance.now() < until) {
    const { disk, again } = await powerOn(pc, wires, stages, program)
    await simulate({ name: pc.name, index, image, trace, disk, again, stages })
    boots++
    await off()
  }
}

/** On stderr: the report is on stdout. */
const tell = () => {
  const { rssBytes, lagSeconds } = samples.at(-1)!
  const left = Math.max(0, (until - performance.now()) / 60_000).toFixed(1)
  const said = [`${boots} boots`, sizeText(Math.round(rssBytes)), `loop lag p99 ${(lagSeconds * 1000).toFixed(1)} ms`]
  console.error(`${left} minutes left: ${said.join(", ")}, ${counted.problems.length} problems`)
}

const server = await startServer(folder)
const until = performance.now() + minutes * 60_000
const samples: Array<Sample> = []
/** As long as PCs are switched on again. */
const watch = async () => {
  while (performance.now() < until) {
    samples.push(sampleOf(await server.metrics()))
    if (samples.length % SAMPLES_SAID === 0) tell()
    await sleep((minutes * 60_000) / SAMPLES)
  }
}

const counted = makeStages(() => performance.now())
const wires = await simulatedPcs(server.listeners, RELAY)
const watched = watch()
const lives = await Promise.allSettled(pcs.map((pc, i) => live(pc, i, counted, wires)))
await watched
await wires.close()
const stopMillis = await server.stop()
rmSync(folder, { recursive: true, force: true })

const checks = judged(samples, {
  boots,
  problems: counted.problems,
  unfinished: lives.filter((l) => l.status === "rejected").length,
})
console.log(
  `\n== ${PCS} PCs that boot in a loop, ${minutes} minutes: ${boots} boots, stopped in ${Math.round(stopMillis)} ms\n`,
)
console.log(counted.render(PCS))
console.log(drawn(samples))
for (const { what, right, found } of checks) console.log(`${right ? "ok    " : "FAILED: soak:"} ${what}: ${found}`)
for (const problem of counted.problems.slice(0, 20)) console.log(`  ${problem}`)
const failed = checks.filter(({ right }) => !right).length
console.log(`\n${checks.length - failed} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1
