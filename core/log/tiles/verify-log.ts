/**
 * Recomputes the tree from the events and holds it against everything that was published: tiles, entry bundles and the checkpoint.
 *
 *     each event ─► its envelope names its position ─► its leaf is the tile's ─► its bytes are the bundle's
 *     after the checkpoint's last event: the root is the checkpoint's
 *
 * **Details** The first difference is kept and the reading goes on to the checkpoint's last event, because only the root says who is
 * wrong: with the signed root, the events are right and a tile is damaged; without it, events were changed, from that position on.
 * The newest events, after the checkpoint, have their checksums and nothing else yet.
 */
import * as Effect from "effect/Effect"
import { fail, type ImagelinkError, isImagelinkError } from "../../errors.ts"
import { limits } from "../../limits.ts"
import { parse } from "../envelope.ts"
import type { RecordedBytes } from "../event-log.ts"
import { type Hash, leafHash, sameHash } from "../merkle/hash.ts"
import type { TreeHead } from "../merkle/verify.ts"
import type { EventSource } from "./events.ts"
import type { TlogFiles } from "./files.ts"
import { type TilePlace, tilePath, tileWidth } from "./paths.ts"
import { TileTree } from "./tile-tree.ts"

export interface Verified extends TreeHead {
  /** How many of the events the checkpoint covers; all that is published was compared. */
  readonly published: number
}

export interface VerifyOptions {
  readonly log: EventSource
  readonly files: TlogFiles
  /** The checkpoint on disk, its signature checked. */
  readonly checkpoint: TreeHead | undefined
  readonly signal?: AbortSignal
  readonly onProgress?: (done: number, total: number) => void
}

/** @throws AUDIT_FAILED with the first position that does not hold; CANCELLED */
export const verifyLog = async (options: VerifyOptions): Promise<Verified> => {
  const { log, checkpoint } = options
  // before the head: a server may publish more meanwhile
  const extent = Math.max(checkpoint?.size ?? 0, options.files.extent())
  const head = log.head()
  const check = new Check(options.files, checkpoint)
  check.compareRoot()
  while (check.tree.size < head) {
    if (options.signal?.aborted) throw fail("CANCELLED", { what: "audit verify" })
    const { events, damage } = await readPage(log, check.tree.size, head)
    for (const event of events) check.add(event)
    if (damage !== undefined) throw check.difference ?? damage
    options.onProgress?.(check.tree.size, head)
  }
  check.end(head, extent)
  return { size: head, root: check.tree.root(), published: checkpoint?.size ?? 0 }
}

/** The next events, up to the first that the store cannot give. */
const readPage = async (log: EventSource, after: number, head: number) => {
  const read = (from: number, max: number) => Effect.runPromise(log.pageBytes(from, max))
  try {
    return { events: await read(after, Math.min(limits.pageEventsMax, head - after)), damage: undefined }
  } catch (e) {
    if (!isDamage(e)) throw e
  }
  const events: Array<RecordedBytes> = []
  for (let at = after; at < head; at++) {
    try {
      events.push(...(await read(at, 1)))
    } catch (e) {
      if (!isDamage(e)) throw e
      return { events, damage: fail("AUDIT_FAILED", { position: at + 1, why: e.reason }, { underlying: e }) }
    }
  }
  return { events, damage: undefined }
}

const isDamage = (e: unknown): e is ImagelinkError => isImagelinkError(e) && e.code === "STORE_DAMAGED"

class Check {
  readonly files: TlogFiles
  readonly checkpoint: TreeHead | undefined
  readonly tree = new TileTree()
  /** The first difference, until the root says whose it is. */
  found: { readonly position: number; readonly why: string } | undefined
  tile: ReadonlyArray<Hash> | undefined
  bundle: ReadonlyArray<Uint8Array> | undefined

  constructor(files: TlogFiles, checkpoint: TreeHead | undefined) {
    this.files = files
    this.checkpoint = checkpoint
  }

  get published(): number {
    return this.checkpoint?.size ?? 0
  }

  add({ position, bytes }: RecordedBytes): void {
    if ((parse(bytes) as { position?: unknown } | undefined)?.position !== position) {
      throw this.difference ?? fail("AUDIT_FAILED", { position, why: `the event stored there is another position's` })
    }
    const i = (position - 1) % tileWidth
    if (i === 0) this.loadTiles(position - 1)
    const leaf = leafHash(bytes)
    this.compareLeaf(position, i, leaf, bytes)
    this.tree.add(leaf, (place, hashes) => this.compareTile(place, hashes))
    this.compareRoot()
  }

  /** Tile and bundle of the next 256 events; of the last ones, the partial ones that the checkpoint needs. */
  loadTiles(from: number): void {
    const index = from / tileWidth
    const width = Math.max(0, Math.min(tileWidth, this.published - from))
    this.tile = this.files.tile({ level: 0, index, width: tileWidth }) ?? this.partial(index, width)
    this.bundle = this.files.bundle(index, tileWidth) ?? (width === 0 ? undefined : this.files.bundle(index, width))
    if (width === 0) return
    if (this.tile === undefined) this.missing({ level: 0, index, width }, from + 1)
    if (this.bundle === undefined) this.missing({ level: "entries", index, width }, from + 1)
  }

  partial(index: number, width: number): ReadonlyArray<Hash> | undefined {
    return width === 0 ? undefined : this.files.tile({ level: 0, index, width })
  }

  missing(place: TilePlace, position: number): void {
    this.found ??= { position, why: `${this.files.path(tilePath(place))} is missing or damaged` }
  }

  compareLeaf(position: number, i: number, leaf: Hash, bytes: Uint8Array): void {
    const hash = this.tile?.[i]
    const entry = this.bundle?.[i]
    if (hash !== undefined && !sameHash(hash, leaf)) {
      const why = `event ${position} does not have the hash that was published in its tile`
      this.found ??= { position, why }
    }
    if (entry !== undefined && Buffer.compare(entry, bytes) !== 0) {
      this.found ??= {
        position,
        why: `event ${position} does not have the bytes that were published in its entry bundle`,
      }
    }
  }

  /** The tiles above level 0, whose hashes are those of whole tiles. */
  compareTile(place: TilePlace, hashes: ReadonlyArray<Hash>): void {
    if (place.level === 0 || place.level === "entries") return
    const span = tileWidth ** place.level
    const first = place.index * tileWidth * span
    const tile = this.files.tile(place)
    if (tile === undefined && first + place.width * span > this.published) return
    if (tile === undefined) {
      this.missing(place, first + 1)
      return
    }
    const differs = hashes.findIndex((hash, i) => !sameHash(hash, tile[i]!))
    if (differs < 0) return
    const position = first + differs * span + 1
    this.found ??= {
      position,
      why: `${this.files.path(tilePath(place))} has another hash for the events from ${position} on`,
    }
  }

  /** At the checkpoint's last event. @throws AUDIT_FAILED */
  compareRoot(): void {
    if (this.checkpoint === undefined || this.tree.size !== this.published) return
    this.tree.partials((place, hashes) => this.compareTile(place, hashes))
    const right = sameHash(this.tree.root(), this.checkpoint.root)
    if (right && this.found === undefined) return
    if (right) throw fail("AUDIT_FAILED", { ...this.found!, tiles: true })
    const why = `the ${this.published} published events have another root than their checkpoint, and no tile says which of them was changed`
    throw this.difference ?? fail("AUDIT_FAILED", { why })
  }

  /** @throws AUDIT_FAILED */
  end(head: number, published: number): void {
    if (this.difference !== undefined) throw this.difference
    if (head >= published) return
    const why = `events ${head + 1} to ${published} were published, and are not in the log`
    throw fail("AUDIT_FAILED", { position: head + 1, why })
  }

  get difference(): ImagelinkError | undefined {
    return this.found && fail("AUDIT_FAILED", this.found)
  }
}
