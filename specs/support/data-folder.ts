/** Data folders to be damaged: made by the site's own operations, copied, changed behind its back, and read again. */
import { cpSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs"
import { join } from "node:path"
import { openSite, repairData } from "../../adapters/compose.ts"
import type { RepairRow } from "../../core/runtime/repair.ts"
import type { Site } from "../../core/runtime/site.ts"
import { mac, pc } from "./domain.ts"
import { rawImage } from "./images.ts"

export const actor = { kind: "cli", name: "spec" } as const

export const withSite = async <A>(dataDir: string, use: (site: Site) => Promise<A>): Promise<A> => {
  const site = await openSite({ dataDir, create: true })
  try {
    return await use(site)
  } finally {
    await site.close()
  }
}

/**
 * An image with its checksums and 150 linked clients, 302 events, published in two goes; then two events more that are not: 304, over two
 * tiles, in LevelDB's tables and its log.
 */
export const makeData = async (folder: string): Promise<string> => {
  const data = join(folder, "data")
  const image = rawImage(folder, "win11.raw", 128 * 1024)
  const rows = (from: number, count: number) =>
    Array.from({ length: count }, (_, i) => ({ line: i + 1, mac: mac(from + i), name: pc(from + i), image: "win11" }))
  await withSite(data, async (site) => {
    await site.call("image.add", { name: "win11", path: image.path, check: true }, { actor })
    for (let n = 0; n < 15; n++) {
      await site.call("client.import", { file: "c.csv", rows: rows(1 + n * 10, 10) }, { actor })
      if (n === 8) await site.call("audit.checkpoint", {}, { actor })
    }
    await site.call("audit.checkpoint", {}, { actor })
  })
  await withSite(data, async (site) => {
    await site.call("client.add", { mac: mac(900) }, { actor })
    await site.call("client.link", { clients: ["PC-001"], image: "win11@1", slot: 1 }, { actor })
    await site.call("rebuild", {}, { actor })
  })
  return data
}

/** What must come back: every event byte for byte, the root over them, and the link table. Opening moves LevelDB's log into a table. */
export const contentOf = (dataDir: string) =>
  withSite(dataDir, async (site) => {
    const events: Array<string> = []
    await site.call("log", {}, { actor, onItem: (line) => void events.push(line) })
    const { root } = await site.call("audit.verify", {}, { actor })
    return { events, root, links: await site.call("links", {}, { actor }) }
  })
export type Content = Awaited<ReturnType<typeof contentOf>>

export const copyData = (from: string, to: string): void => {
  rmSync(to, { recursive: true, force: true })
  cpSync(from, to, { recursive: true })
}

/** Every file that says something; LevelDB's lock and its diary do not. */
export const filesIn = (dir: string): ReadonlyArray<string> =>
  readdirSync(dir, { recursive: true, encoding: "utf8" })
    .filter((name) => statSync(join(dir, name)).isFile() && !/(^|\/)(LOCK|LOG|LOG\.old)$/.test(name))
    .sort()
export const snapshot = (dir: string): ReadonlyMap<string, Buffer> =>
  new Map(filesIn(dir).map((name) => [name, readFileSync(join(dir, name))]))

export const repair = (dataDir: string, { dryRun = false, acceptLoss = false } = {}) =>
  repairData({ dataDir, dryRun, acceptLoss, actor })
export const notWhole = (rows: ReadonlyArray<RepairRow>): ReadonlyArray<readonly [string, string]> =>
  rows.filter((r) => r.state !== "whole").map((r) => [r.part, r.state])
