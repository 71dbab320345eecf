/**
 * Sealing a large change: 10 GiB of changes spread evenly over a disk, as commit does it.
 *
 *     npm run bench -- seal [rounds] [KiB of a run,…] [GiB of the disk, 4096]
 *
 * **Details** The super overlay's data is not really written, because sealing does not read it: its file is a hole of that size. All else are real files: both maps, the
 * tables of the layer, their flush. `read` checks the maps and brings the durable one up to the working one, `tables` writes the layer. CPU is that of the process,
 * threads of the file system's calls included; the least of the rounds, others may be using the machine.
 *
 * **Gotchas** A virtual machine takes memory from its host when it first writes to it: half a gibibyte of tables then costs a second and more. Fill its page cache before, with a
 * file of some gibibytes that is removed again.
 */
import { mkdtempSync, rmSync, statSync } from "node:fs"
import { loadavg, tmpdir } from "node:os"
import { join } from "node:path"
import { openParts } from "../../adapters/compose.ts"
import { ReadCache } from "../../core/block/cache.ts"
import { MapBudget } from "../../core/block/overlay/budget.ts"
import { createOverlay } from "../../core/block/overlay/open.ts"
import { readOwnExtents } from "../../core/block/overlay/sealed.ts"
import { openVersion } from "../../core/block/version.ts"
import type { VersionEntry } from "../../core/domain/catalogue.ts"
import type { VolumeFolder } from "../../core/storage/volume.ts"
import { random } from "../support/random.ts"

const KiB = 1024
const MiB = 1024 * KiB
const GiB = 1024 * MiB
const SIZE = Number(process.argv[4] ?? 4096) * GiB
const CHANGED = 10 * GiB
const rounds = Number(process.argv[2] ?? 3)
const sizes = (process.argv[3] ?? "16384,1024,64").split(",").map((kib) => Number(kib) * KiB)
const BOOT = "this boot"

/** `target` with some of its methods in place of its own. */
const exchanged = <A extends object>(target: A, others: Partial<A>): A =>
  new Proxy(target, {
    get(_, key: keyof A & string) {
      const found = others[key] ?? target[key]
      return typeof found === "function" ? found.bind(target) : found
    },
  })

/** The folder, but for bytes of the guest: they are dropped. */
const withoutData = (folder: VolumeFolder): VolumeFolder =>
  exchanged(folder, {
    async open(name, options) {
      const volume = await folder.open(name, options)
      return name === "data" ? exchanged(volume, { write: async () => {}, writeSync: () => true }) : volume
    },
  })

const makeOverlay = async (folder: VolumeFolder, runBytes: number): Promise<void> => {
  const below = { read: async (into: Uint8Array) => void into.fill(0), extents: async () => [] }
  const base = openVersion({ id: "v1", contentId: "v1", cache: new ReadCache({ bytes: MiB }), below, sizeBytes: SIZE })
  const binding = {
    ...{ generation: "g1", clientId: "c", slot: 0, imageId: "i", version: 1 },
    policy: "super",
  } as const
  const overlay = await createOverlay({
    folder,
    base,
    binding,
    client: "PC",
    hostBootId: BOOT,
    budget: new MapBudget(),
  })
  const bytes = Buffer.alloc(runBytes, 1)
  const r = random(1)
  const stretch = SIZE / (CHANGED / runBytes)
  for (let at = 0; at + stretch <= SIZE; at += stretch) {
    const offset = Math.floor((at + r.int(Math.floor(stretch - runBytes))) / (4 * KiB)) * 4 * KiB
    if (!overlay.writeSync(bytes, 0, offset, runBytes, 0)) await overlay.write(bytes, 0, offset, runBytes, 0)
  }
  await overlay.freeze()
  await overlay.close()
  await base.close()
}

interface Took {
  readonly wall: number
  readonly cpu: number
}
const timed = async <A>(work: () => Promise<A>): Promise<readonly [A, Took]> => {
  const [began, cpu] = [performance.now(), process.cpuUsage()]
  const answer = await work()
  const { user, system } = process.cpuUsage(cpu)
  return [answer, { wall: performance.now() - began, cpu: (user + system) / 1000 }]
}
const least = (all: ReadonlyArray<Took>): Took => ({
  wall: Math.min(...all.map(({ wall }) => wall)),
  cpu: Math.min(...all.map(({ cpu }) => cpu)),
})
const shown = ({ wall, cpu }: Took) => `${wall.toFixed(0).padStart(7)} (${cpu.toFixed(0)})`.padStart(17)

const bench = async (dir: string, runBytes: number): Promise<void> => {
  const { parts, release } = await openParts({ dataDir: join(dir, `data-${runBytes}`), create: true })
  const overlay = "overlays/c/0/1"
  const folder = overlay.split("/").reduce((at, name) => at.folder(name), parts.data)
  await makeOverlay(withoutData(folder), runBytes)
  const storage = { kind: "file", config: { path: "/base.raw" } }
  const parent: VersionEntry = {
    ...{ number: 1, parent: null, format: "raw", sizeBytes: String(SIZE), storage, files: [] },
    ...{ check: null, retired: false },
  } as unknown as VersionEntry
  const took: Record<"read" | "tables" | "all", Array<Took>> = { read: [], tables: [], all: [] }
  for (let round = 0; round < rounds; round++) {
    const imageId = `image-${round}`
    const [own, read] = await timed(() => readOwnExtents(folder, BOOT))
    const [sealed, tables] = await timed(() => parts.layers.seal({ imageId, version: 2, parent, overlay, own }))
    took.read.push(read)
    took.tables.push(tables)
    const [wall, cpu] = [read, tables].reduce(([w, c], t) => [w + t.wall, c + t.cpu], [0, 0])
    took.all.push({ wall, cpu })
    if (round > 0) continue
    const { size, blocks } = statSync(join(dir, `data-${runBytes}`, sealed.files[0]!.path))
    console.log(
      `runs of ${runBytes / KiB} KiB: tables of ${(size / MiB).toFixed(1)} MiB, ${((blocks * 512) / MiB).toFixed(1)} on disk`,
    )
  }
  const { read, tables, all } = took
  console.log([read, tables, all].map((t) => shown(least(t))).join(""))
  await release()
}

const dir = mkdtempSync(join(tmpdir(), "imagelink-seal-"))
try {
  console.log(["read", "tables", "all"].map((title) => title.padStart(17)).join(""))
  for (const runBytes of sizes) await bench(dir, runBytes)
} finally {
  rmSync(dir, { recursive: true, force: true })
}
console.log(`wall (CPU), ms; least of ${rounds} rounds; load ${loadavg()[0]!.toFixed(1)}`)
