/**
 * A log that a released version wrote reads for ever: the same bytes, the same links, the same root; and it goes on.
 *
 * **Details** The stores are the files of then (fixtures/recorded). The last part changes a shape: the events of then, in a shape that is
 * made up as older, come through the real log, the catalogue and the projections as what they are today.
 */
import { cpSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { beforeEach, describe, expect, it, vi } from "vitest"
import { schemaVersions } from "../../core/domain/event-versions.ts"
import { canonicalBytes, canonicalJson } from "../../core/log/canonical.ts"
import type { Recorded } from "../../core/log/event-log.ts"
import { replaceHead } from "../../core/log/head.ts"
import { rootOf } from "../../core/log/merkle/frontier.ts"
import { leafHash } from "../../core/log/merkle/hash.ts"
import { rebuildDatabase } from "../../core/log/repair/rebuild-database.ts"
import { siteKeyFromSeed, siteKeyPem } from "../../core/log/site-key.ts"
import { storePaths } from "../../core/log/store-files.ts"
import { makeUpcaster } from "../../core/log/upcast.ts"
import { catalogueProjection } from "../../core/projections/catalogue.ts"
import type { AnyProjection } from "../../core/projections/cell.ts"
import { linkRows, linkTable } from "../../core/projections/link-table.ts"
import { makeViews } from "../../core/runtime/views.ts"
import { scratch } from "../support/cli.ts"
import { actor, copyData, withSite } from "../support/data-folder.ts"
import { memoryMarks } from "../support/mark-store.ts"
import { database, open } from "./support/store.ts"

const recorded = join(import.meta.dirname, "../fixtures/recorded")
const folder = scratch("recorded")
const data = join(folder, "data")
const read = (name: string) => readFileSync(join(recorded, name), "utf8")
const linesOf = (release: string) => read(`${release}/events.jsonl`).trimEnd().split("\n")
const linksOf = (release: string) => JSON.parse(read(`${release}/links.json`)) as ReadonlyArray<object>
/** What is new about a row today is nothing that was said then. */
const asThen = (rows: ReadonlyArray<object>) => rows.map((row) => expect.objectContaining(row))

const copied = (release: string) => {
  copyData(join(recorded, release), data)
  const seed = Buffer.from(read("site-key-seed.hex").trim(), "hex")
  writeFileSync(storePaths(data).key, siteKeyPem(siteKeyFromSeed(seed)))
}

describe.each([
  ["0.1", 16, 0],
  ["0.2", 21, 21],
])("the log of release %s", (release, count, published) => {
  beforeEach(() => copied(release))

  it("has the events of then, byte for byte, and the link table", async () => {
    await withSite(data, async (site) => {
      const lines: Array<string> = []
      await site.call("log", {}, { actor, onItem: (line) => void lines.push(line) })
      expect(lines).toEqual(linesOf(release))
      expect(lines).toHaveLength(count)
      expect(await site.call("links", {}, { actor })).toEqual(asThen(linksOf(release)))
    })
  })

  it("is whole to the scan, the audit and the projections, and goes on", async () => {
    await withSite(data, async (site) => {
      const root = Buffer.from(rootOf(linesOf(release).map((line) => leafHash(Buffer.from(line))))).toString("base64")
      expect(await site.call("audit.verify", {}, { actor })).toMatchObject({ size: count, published, root })
      for (const one of await site.call("rebuild.check", {}, { actor })) expect(one).toMatchObject({ equal: true })
      const added = await site.call("client.add", { mac: "52:54:00:00:00:77" }, { actor })
      expect(added.position).toBe(count + 1)
      expect(await site.call("audit.checkpoint", {}, { actor })).toMatchObject({ size: count + 1 })
      expect(await site.call("audit.verify", {}, { actor })).toMatchObject({ published: count + 1 })
    })
  })

  it("is in canonical form: what is parsed and written again is the same", () => {
    for (const line of linesOf(release)) expect(canonicalJson(JSON.parse(line))).toBe(line)
  })
})

it("schemaVersion 1 of every type of then was recorded", () => {
  const types = new Set(linesOf("0.2").map((line) => (JSON.parse(line) as Recorded).type))
  expect([...types].sort()).toEqual([
    "ClientChanged",
    "ClientLinked",
    "ClientRegistered",
    "ClientRemoved",
    "ClientUnlinked",
    "ImageAdded",
    "ImageChecked",
    "ImageRelocated",
    "ImageRemoved",
    "OverlayReset",
  ])
  for (const line of linesOf("0.2")) expect((JSON.parse(line) as Recorded).schemaVersion).toBe(1)
})

// ClientRegistered and ClientLinked as if their shape had changed since: what was recorded is made version 2, and version 1 made up
vi.mock("../../core/domain/event-versions.ts", async (original) => {
  const real = await original<typeof import("../../core/domain/event-versions.ts")>()
  return { ...real, isKnownEvent: (event: Recorded) => real.isKnownEvent(event) || changed.current(event) }
})
const changed = vi.hoisted(() => ({
  types: ["ClientRegistered", "ClientLinked"],
  on: false,
  current(event: { readonly type: string; readonly schemaVersion: number }): boolean {
    return this.on && event.schemaVersion === 2 && this.types.includes(event.type)
  },
}))

interface Registered {
  readonly client: { readonly id: string; readonly name: string; readonly mac: string }
  readonly address: string | null
}
interface Linked {
  readonly client: object
  readonly slot: number
  readonly to: { readonly image: { readonly id: string }; readonly pinned: number | null }
  readonly from: object | null
}

/** An event of then as an older release might have written it: flat, its MAC without colons, its slot counted from 1. */
const older = (event: Recorded): Recorded => {
  if (event.type === "ClientRegistered") {
    const { client, address } = event.data as Registered
    return { ...event, data: { ...client, mac: client.mac.replaceAll(":", ""), ...(address && { ip: address }) } }
  }
  if (event.type !== "ClientLinked") return event
  const { slot, ...rest } = event.data as Linked
  return { ...event, data: { ...rest, disk: slot + 1 } }
}

const upcaster = makeUpcaster({
  current: { ...schemaVersions, ClientRegistered: 2, ClientLinked: 2 },
  steps: {
    ClientRegistered: {
      1: (old) => {
        const { ip, mac, ...client } = old as { id: string; name: string; mac: string; ip?: string }
        return { client: { ...client, mac: mac.match(/../g)!.join(":") }, address: ip ?? null }
      },
    },
    ClientLinked: {
      1: (old) => {
        const { disk, ...rest } = old as { disk: number }
        return { ...rest, slot: disk - 1 }
      },
    },
  },
})

describe("a log in an older shape", () => {
  it("reads as what it is today, in the log, the catalogue and the link table; its stored bytes and its root stay", async () => {
    const today = linesOf("0.2").map((line) => JSON.parse(line) as Recorded)
    const stored = today.map((event) => canonicalBytes(older(event)))
    const commands = today.flatMap(({ command, position }, i) =>
      today[i - 1]?.command === command
        ? []
        : [{ command, first: position, count: today.filter((e) => e.command === command).length, fingerprint: "f" }],
    )
    copied("0.2")
    cpSync(join(data, "store"), join(folder, "before"), { recursive: true })
    await rebuildDatabase(database, storePaths(data), stored, commands)
    replaceHead(storePaths(data).head, today.length, today.at(-1)!.command)
    const before = await statesOf("before")
    changed.on = true
    try {
      const { log, close } = await open(data, { upcaster })
      const { runPromise } = await import("effect/Effect")
      const bytes = await runPromise(log.pageBytes(0, 1000))
      expect(bytes.map((b) => Buffer.from(b.bytes))).toEqual(stored.map((b) => Buffer.from(b)))
      const page = await runPromise(log.page(0, 1000))
      expect(page.map((e) => e.data)).toEqual(today.map((e) => e.data))
      expect(new Set(page.map((e) => `${e.type} ${e.schemaVersion}`))).toContain("ClientRegistered 2")
      expect((await runPromise(log.findCommand(today[6]!.command)))?.events.map((e) => e.data)).toEqual(
        today.filter((e) => e.command === today[6]!.command).map((e) => e.data),
      )
      expect(await states(log)).toEqual(before)
      await close()
    } finally {
      changed.on = false
    }
  })
})

const projections: ReadonlyArray<AnyProjection> = [catalogueProjection, linkTable]
const states = async (log: Parameters<typeof makeViews>[0]) => {
  const views = makeViews(log, memoryMarks())
  const encoded = []
  for (const p of projections) encoded.push(JSON.stringify(p.encode(await views.state(p))))
  return { encoded, links: linkRows(await views.state(linkTable)) }
}
const statesOf = async (name: string) => {
  const dir = join(folder, `${name}-data`)
  cpSync(join(folder, name), join(dir, "store"), { recursive: true })
  const { log, close } = await open(dir, { upcaster: makeUpcaster({ current: schemaVersions }) })
  try {
    return await states(log)
  } finally {
    await close()
  }
}
