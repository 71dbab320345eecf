/**
 * Folds a million events into the catalogue and each projection, and prints what that takes in time and memory.
 *
 *     node --expose-gc --conditions=source specs/bench/fold.bench.ts [events] [clients]
 */
import { evolve, initial } from "../../core/domain/catalogue.ts"
import type { CommandBody } from "../../core/domain/commands.ts"
import { decide } from "../../core/domain/decide.ts"
import type { DomainEvent, EventData } from "../../core/domain/events.ts"
import type { Recorded } from "../../core/log/event-log.ts"
import { catalogueProjection } from "../../core/projections/catalogue.ts"
import { type AnyProjection, type Cell, feed, freshCell, restoreCell, saveCell } from "../../core/projections/cell.ts"
import { type Checkpoint, decodeCheckpoint } from "../../core/projections/checkpoint-file.ts"
import { imageVersions } from "../../core/projections/image-versions.ts"
import { linkRows, linkTable } from "../../core/projections/link-table.ts"

const total = Number(process.argv[2] ?? 1_000_000)
const clients = Number(process.argv[3] ?? 10_000)

const uuid = (kind: number, n: number) => `0000000${kind}-0000-7000-8000-${n.toString(16).padStart(12, "0")}`
const clientRef = (n: number) => {
  const hex = n.toString(16).padStart(6, "0")
  const name = `PC-${String(n).padStart(5, "0")}`
  return { id: uuid(2, n), name, mac: `52:54:00:${hex.slice(0, 2)}:${hex.slice(2, 4)}:${hex.slice(4)}` }
}
type LinkState = EventData<"ClientLinked">["to"]
const target = (image: number): LinkState => ({
  image: { id: uuid(1, image), name: `image-${image}` },
  pinned: null,
  version: 1,
  overlay: "discard",
})
const imageAdded = (n: number): DomainEvent => ({
  type: "ImageAdded",
  schemaVersion: 1,
  data: {
    image: { id: uuid(1, n), name: `image-${n}` },
    version: 1,
    storage: { kind: "file", config: { path: `/images/${n}.raw` } },
    format: "raw",
    sizeBytes: "68719476736",
    files: [],
  },
})

/** Two images, all clients, and then relinking for ever. Parsed from JSON one by one, as from a log. */
const eventAt = (position: number): Recorded => {
  const n = position - 3
  const client = clientRef(n % clients)
  const event: DomainEvent =
    position <= 2
      ? imageAdded(position - 1)
      : n < clients
        ? {
            type: "ClientRegistered",
            schemaVersion: 1,
            data: { client, address: `10.${n >> 16}.${(n >> 8) & 255}.${n & 255}` },
          }
        : {
            type: "ClientLinked",
            schemaVersion: 1,
            data: { client, slot: 0, to: target(n % 2), from: n < 2 * clients ? null : target((n + 1) % 2) },
          }
  const actor = { kind: "cli", name: "bench" } as const
  return JSON.parse(
    JSON.stringify({ ...event, position, command: uuid(3, position), at: position, actor, server: "s" }),
  ) as Recorded
}

const chunk = 50_000
const chunks = function* () {
  for (let from = 1; from <= total; from += chunk) {
    yield Array.from({ length: Math.min(chunk, total - from + 1) }, (_, i) => eventAt(from + i))
  }
}
const heapMiB = () => {
  globalThis.gc?.()
  return process.memoryUsage().heapUsed / 1048576
}
const timed = <A>(work: () => A): [A, number] => {
  const began = performance.now()
  const value = work()
  return [value, performance.now() - began]
}

const feedAll = (cell: Cell, events: ReadonlyArray<Recorded>) => {
  for (const recorded of events) feed(cell, recorded)
}
/** A state holds what a copy of it from its checkpoint takes; the events it was folded from are gone by then. */
const held = (cell: Cell): number => {
  const text = JSON.stringify(cell.projection.encode(cell.state))
  const before = heapMiB()
  const copy: unknown = cell.projection.decode(JSON.parse(text))
  const after = heapMiB()
  return copy === undefined ? Number.NaN : after - before
}

const cells = [catalogueProjection, linkTable, imageVersions].map((projection) =>
  freshCell(projection as AnyProjection),
)
const took = cells.map(() => 0)
for (const events of chunks()) {
  for (const [i, cell] of cells.entries()) took[i]! += timed(() => feedAll(cell, events))[1]
}
for (const [i, cell] of cells.entries()) {
  const [bytes, saving] = timed(() => saveCell(cell, "store"))
  const [, loading] = timed(() => restoreCell(cell.projection, decodeCheckpoint(bytes) as Checkpoint, "store"))
  console.log(
    `${cell.projection.name}: ${total} events in ${took[i]!.toFixed(0)} ms (${((took[i]! * 1e6) / total).toFixed(0)} ns each), ` +
      `${clients} clients hold ${held(cell).toFixed(1)} MiB, checkpoint of ${(bytes.length / 1048576).toFixed(1)} MiB: ` +
      `saved in ${saving.toFixed(0)} ms, loaded in ${loading.toFixed(0)} ms`,
  )
}
const [table, sorting] = timed(() => linkRows(cells[1]!.state as ReturnType<typeof linkTable.initial>))
console.log(`link-table: ${table.length} rows sorted in ${sorting.toFixed(0)} ms`)

const catalogue = initial()
for (const position of [1, 2]) evolve(catalogue, eventAt(position))
const rows = Array.from({ length: clients }, (_, i) => ({ line: i + 2, clientId: uuid(2, i), mac: clientRef(i).mac }))
const body: CommandBody = { type: "ImportClients", file: "bench.csv", rows, image: "image-1" }
const [decision, deciding] = timed(() => decide(catalogue, body))
console.log(`decide: an import of ${clients} unnamed rows in ${deciding.toFixed(0)} ms (${decision._tag})`)
