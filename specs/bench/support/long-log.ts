/**
 * A log of any length, as the benches fold it: 200 images, 10,000 clients, and then relinking for ever.
 *
 * **Details** Event n is computed from n alone, a second apart from its neighbours, so that any part of the log can be checked or made again.
 */
import * as Effect from "effect/Effect"
import { openParts } from "../../../adapters/compose.ts"
import type { DomainEvent, EventData } from "../../../core/domain/events.ts"

export const shape = { images: 200, clients: 10_000, startAt: Date.UTC(2026, 0, 1), stepMillis: 1000 } as const

export const uuid = (kind: number, n: number) => `0000000${kind}-0000-7000-8000-${n.toString(16).padStart(12, "0")}`

export const clientRef = (n: number) => {
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

const registered = (n: number): DomainEvent => ({
  type: "ClientRegistered",
  schemaVersion: 1,
  data: { client: clientRef(n), address: `10.${n >> 16}.${(n >> 8) & 255}.${n & 255}` },
})

/** The event at a position of such a log. */
export const eventAt = (position: number): DomainEvent => {
  if (position <= shape.images) return imageAdded(position - 1)
  const n = position - shape.images - 1
  if (n < shape.clients) return registered(n)
  const round = Math.floor(n / shape.clients)
  const client = clientRef(n % shape.clients)
  const imageOf = (r: number) => target((n + r) % shape.images)
  const from = round === 1 ? null : imageOf(round - 1)
  return { type: "ClientLinked", schemaVersion: 1, data: { client, slot: 0, to: imageOf(round), from } }
}

/** Makes the data folder of a log of `events` events, `perCommand` of them a command. */
export const makeLongLog = async (dataDir: string, events: number, perCommand = 100): Promise<void> => {
  const { parts, release } = await openParts({ dataDir, create: true, whole: true })
  for (let first = 1; first <= events; first += perCommand) {
    const count = Math.min(perCommand, events - first + 1)
    const request = {
      command: uuid(3, first),
      fingerprint: "bench",
      at: shape.startAt + first * shape.stepMillis,
      actor: { kind: "cli", name: "bench" } as const,
      expectedPosition: first - 1,
      events: Array.from({ length: count }, (_, i) => eventAt(first + i)),
    }
    await Effect.runPromise(parts.log.append(request))
  }
  await release()
}
