/** Logs in memory that can be published, and edited behind the log's back; and what a folder of tiles holds. */
import { readdirSync, readFileSync, statSync } from "node:fs"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import { canonicalBytes } from "../../../core/log/canonical.ts"
import { siteKeyFromSeed } from "../../../core/log/site-key.ts"
import type { EventSource } from "../../../core/log/tiles/events.ts"
import { Publisher } from "../../../core/log/tiles/publisher.ts"
import { type Verified, verifyLog } from "../../../core/log/tiles/verify-log.ts"
import { random } from "./random.ts"

export const key = siteKeyFromSeed(random(7).bytes(32))
export const noteKey = { name: "lab.example", publicKey: key.publicKey }

export const event = (position: number, text = `event ${position}`): Uint8Array =>
  canonicalBytes({ data: { text }, position })

export interface MemoryTlog extends EventSource {
  /** The stored bytes, to be edited; event 1 first. */
  readonly events: Array<Uint8Array>
  grow(count: number): void
}

export const memoryTlog = (count = 0): MemoryTlog => {
  const events: Array<Uint8Array> = []
  const grow = (more: number) => {
    for (let i = 0; i < more; i++) events.push(event(events.length + 1))
  }
  grow(count)
  return {
    events,
    grow,
    site: { name: noteKey.name, storeId: "", publicKey: key.publicKey, createdAt: 0 },
    head: () => events.length,
    pageBytes: (after, max) =>
      Effect.succeed(events.slice(after, after + max).map((bytes, i) => ({ position: after + 1 + i, bytes }))),
  }
}

export const publisherOf = (dir: string, log: EventSource): Publisher => new Publisher({ dir, log, key: () => key })

export const verifyIn = (dir: string, log: EventSource): Promise<Verified> => {
  const publisher = publisherOf(dir, log)
  return verifyLog({ log, files: publisher.files, checkpoint: publisher.published() })
}

/** Every file under `tlog/`, by its path. */
export const published = (dir: string): ReadonlyMap<string, Buffer> => {
  const folder = join(dir, "tlog")
  const names = readdirSync(folder, { recursive: true, encoding: "utf8" })
  return new Map(
    names
      .filter((name) => statSync(join(folder, name)).isFile())
      .sort()
      .map((name) => [name, readFileSync(join(folder, name))]),
  )
}
