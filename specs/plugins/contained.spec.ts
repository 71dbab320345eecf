/** What a client of the server meets when a plugin misbehaves: EIO for that range, over the wire, while everything else is served. */
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { connectNbd, type NbdClient } from "../../adapters/nbd/client.ts"
import { listenNbd, type NbdServer } from "../../adapters/nbd/server.ts"
import { ReadCache } from "../../core/block/cache.ts"
import { guardDevice } from "../../core/block/guard.ts"
import { openVersion } from "../../core/block/version.ts"
import type { Patience } from "../../core/storage/asker.ts"
import { nodeTicks } from "../../core/storage/deadlines.ts"
import { guardVolume } from "../../core/storage/guard.ts"
import type { Volume } from "../../core/storage/volume.ts"
import { MemoryDisks } from "../support/memory-disks.ts"

const CLUSTER = 65_536
const SIZE = 8 * CLUSTER
/** Short, because what hangs here hangs for ever. */
const patience: Patience = { openSeconds: 1, readSeconds: 1, writeSeconds: 1, ticks: nodeTicks }
const sevens: Volume["read"] = async (into, at, _, length) => void into.fill(7, at, at + length)

/** Each misbehaves in its second cluster. */
const misbehaviours: Readonly<Record<string, (...request: Parameters<Volume["read"]>) => unknown>> = {
  "throws at once": () => {
    throw new TypeError("x is undefined")
  },
  "rejects with a text": () => Promise.reject("no"),
  "rejects with nothing": () => Promise.reject(undefined),
  "says that it was cancelled": () => Promise.reject(new DOMException("stop", "AbortError")),
  "never answers": () => new Promise(() => {}),
  "answers without reading": async () => {},
  "stops half-way": async (into, at, _, length) => void into.fill(7, at, at + length / 2),
  "answers how little it has read": async (into, at, _, length) => Number(into.fill(7, at, at + length) && 512),
}

let server: NbdServer
const clients: Array<NbdClient> = []
beforeAll(async () => {
  const disks = new MemoryDisks()
  const cache = new ReadCache({ bytes: 16 * CLUSTER })
  const add = (name: string, read: Volume["read"]) => {
    const volume = { sizeBytes: SIZE, read, close: async () => {} }
    const below = guardVolume(volume, { kind: "shelf", path: `/srv/${name}` }, patience)
    disks.add(`image/${name}@1`, guardDevice(openVersion({ id: name, contentId: name, cache, below, sizeBytes: SIZE })))
  }
  add("right", sevens)
  for (const [i, misbehave] of Object.values(misbehaviours).entries())
    add(`wrong-${i}`, (...request) =>
      request[2] === CLUSTER ? (misbehave(...request) as Promise<void>) : sevens(...request),
    )
  server = await listenNbd({ address: "127.0.0.1", port: 0, disks, limits: { refusalMillis: 1, closeSeconds: 1 } })
})
afterAll(async () => {
  for (const client of clients) client.destroy()
  await server.close()
})

const dial = async (name: string) => {
  const client = await connectNbd({ host: "127.0.0.1", port: server.port, export: `image/${name}@1`, structured: true })
  clients.push(client)
  return client
}
const isServed = async (client: NbdClient, offset: number) =>
  (await client.read(offset, 4096)).every((byte) => byte === 7)

describe("a client of an image whose plugin", () => {
  it.each(Object.keys(misbehaviours))("%s gets EIO there, and all the rest", async (what) => {
    const i = Object.keys(misbehaviours).indexOf(what)
    const [wrong, right] = await Promise.all([dial(`wrong-${i}`), dial("right")])
    const lost = wrong.read(CLUSTER, 4096).then(
      () => "answered",
      (e: { code: string }) => e.code,
    )
    for (const offset of [0, 2 * CLUSTER, SIZE - 4096]) {
      expect(await isServed(wrong, offset)).toBe(true)
      expect(await isServed(right, offset)).toBe(true)
    }
    expect(await isServed(right, CLUSTER)).toBe(true)
    expect(await lost).toBe("EIO")
    expect(await isServed(wrong, 3 * CLUSTER)).toBe(true)
  })
})
