/**
 * Publishes the log: brings tiles and entry bundles up to the events, then signs the checkpoint.
 *
 *     events (synced) ─► tiles and bundles synced ─► checkpoint signed and synced ─► published
 *
 * **The log never signs two histories.** What was published binds: the checkpoint on disk, and every tile beyond it, which a crash left
 * between tiles and checkpoint. Events are synced before either, so neither can be ahead of them or differ from them, unless events were
 * changed or lost; then nothing is signed and the refusal says where. Tiles that the checkpoint covers may be written again once the
 * events give its root.
 *
 * **Details** What was read of the last state stays in memory, so publishing costs the new events and a few files. Nothing here is on the
 * way of an append. The database is read first, always: that takes the store's lock, and only then is the checkpoint looked at.
 */
import { fail } from "../../errors.ts"
import type { Host } from "../../host.ts"
import { storeError } from "../database.ts"
import { type Hash, leafHash, sameHash } from "../merkle/hash.ts"
import type { TreeHead } from "../merkle/verify.ts"
import type { SiteKey } from "../site-key.ts"
import { encodeBundle } from "./bundle.ts"
import { openCheckpoint, signCheckpoint } from "./checkpoint.ts"
import { type EventSource, eachEvent } from "./events.ts"
import { TlogFiles } from "./files.ts"
import { type TilePlace, tilePath, tileWidth } from "./paths.ts"
import { encodeTile, loadTree, TileTree } from "./tile-tree.ts"

export interface PublisherOptions {
  /** The data folder; everything is under `tlog/` in it. */
  readonly dir: string
  readonly log: EventSource
  /** The site's key, read when something is signed. */
  readonly key: () => SiteKey
  readonly host?: Host
}

export interface Published extends TreeHead {
  /** The signed note. */
  readonly note: string
}

interface State {
  readonly tree: TileTree
  /** Entries of the partial bundle. */
  bundle: Array<Uint8Array>
  /** Up to here tiles may be written again: the checkpoint's root was found in the events. */
  readonly proven: number
  readonly published: Published | undefined
}

export class Publisher {
  readonly options: PublisherOptions
  readonly files: TlogFiles
  state: State | undefined
  /** The publishing before, so that they follow each other. */
  tail: Promise<unknown> = Promise.resolve()

  constructor(options: PublisherOptions) {
    this.options = options
    this.files = new TlogFiles(options.dir)
  }

  /** Publishes what the log has now. @throws LOG_FORKED STORE_DAMAGED DATA_ACCESS_DENIED NO_SPACE */
  publish(): Promise<Published> {
    return this.next(() => this.publishNow())
  }

  /** Whether the log is the one that was published, as far as the newest tiles tell; writes nothing. @throws LOG_FORKED */
  check(): Promise<void> {
    return this.next(async () => {
      this.state ??= await this.load()
    })
  }

  /** The checkpoint as it is on disk. @throws LOG_FORKED when it is no checkpoint of this site */
  published(): Published | undefined {
    const bytes = this.files.read("checkpoint")
    if (bytes === undefined) return undefined
    const note = bytes.toString("utf8")
    const opened = openCheckpoint(note, this.options.log.site)
    if (!("refused" in opened)) return { ...opened, note }
    const why = `${this.files.path("checkpoint")} is not a checkpoint of this site: ${opened.refused}`
    throw fail("LOG_FORKED", { head: this.options.log.head(), why })
  }

  next<A>(run: () => Promise<A>): Promise<A> {
    const done = this.tail.then(run).catch((e: unknown) => {
      throw storeError(e, this.files.folder, this.options.host)
    })
    this.tail = done.catch(() => {})
    return done
  }

  async publishNow(): Promise<Published> {
    const head = this.options.log.head()
    const state = this.state !== undefined && this.state.tree.size <= head ? this.state : await this.load()
    // whatever goes wrong from here on, the next time begins with what is on disk
    this.state = undefined
    try {
      const published = await this.extend(state, this.options.log.head())
      this.state = { ...state, published }
      return published
    } catch (e) {
      await this.files.abandon()
      throw e
    }
  }

  async extend(state: State, head: number): Promise<Published> {
    const { tree, published } = state
    if (published?.size === head && tree.size === head) return published
    const full: Array<TilePlace> = []
    const puts: Array<() => Promise<void>> = []
    const put = (place: TilePlace, bytes: Uint8Array) => puts.push(() => this.put(state, place, bytes))
    await eachEvent(this.options.log, tree.size, head, async (events) => {
      for (const { bytes } of events) {
        state.bundle.push(bytes)
        tree.add(leafHash(bytes), (place, hashes) => {
          put(place, encodeTile(hashes))
          full.push(place)
        })
        if (state.bundle.length < tileWidth) continue
        const place = { level: "entries", index: tree.size / tileWidth - 1, width: tileWidth } as const
        put(place, encodeBundle(state.bundle))
        full.push(place)
        state.bundle = []
      }
      for (const write of puts.splice(0)) await write()
    })
    tree.partials((place, hashes) => put(place, encodeTile(hashes)))
    const { length: width } = state.bundle
    if (width > 0)
      put({ level: "entries", index: Math.floor(tree.size / tileWidth), width }, encodeBundle(state.bundle))
    for (const write of puts.splice(0)) await write()
    await this.files.flush()
    const next = await this.sign(tree)
    for (const place of full) await this.files.removePartials(place)
    return next
  }

  async sign(tree: TileTree): Promise<Published> {
    const key = this.options.key()
    const head = { size: tree.size, root: tree.root() }
    const note = signCheckpoint(head, { name: this.options.log.site.name, publicKey: key.publicKey }, key.privateKey)
    await this.files.put("checkpoint", Buffer.from(note))
    await this.files.flush()
    return { ...head, note }
  }

  /** Writes a tile or bundle, unless it is there. One that differs and is not proven to be wrong says that the events are. */
  async put({ proven }: State, place: TilePlace, bytes: Uint8Array): Promise<void> {
    const name = tilePath(place)
    const there = this.files.read(name)
    if (there?.equals(bytes)) return
    const span = place.level === "entries" ? 1 : tileWidth ** place.level
    const first = place.index * tileWidth * span
    const last = first + place.width * span
    if (there !== undefined && last > proven) {
      const why = `events ${first + 1} to ${last} are not those of ${this.files.path(name)}`
      throw fail("LOG_FORKED", { head: this.options.log.head(), why })
    }
    await this.files.put(name, bytes)
  }

  /** What was published, held against the events. */
  async load(): Promise<State> {
    const { log } = this.options
    await eachEvent(log, 0, Math.min(1, log.head()), async () => {})
    const published = this.published()
    const head = log.head()
    const extent = Math.max(published?.size ?? 0, this.files.extent())
    if (extent > head) {
      throw fail("LOG_FORKED", { head, why: `events ${head + 1} to ${extent} were published, and are not in the log` })
    }
    if (published === undefined) return { tree: new TileTree(), bundle: [], proven: 0, published }
    const tree = loadTree(published.size, (place) => this.files.tile(place))
    if (tree !== undefined && sameHash(tree.root(), published.root)) {
      const bundle = await this.newest(tree)
      if (bundle !== undefined) return { tree, bundle, proven: published.size, published }
    }
    await this.prove(published)
    return { tree: new TileTree(), bundle: [], proven: published.size, published }
  }

  /** The entries of the partial bundle, once the events under the newest tile are found to be its; undefined when that tile is not there. */
  async newest(tree: TileTree): Promise<Array<Uint8Array> | undefined> {
    if (tree.size === 0) return []
    const index = Math.ceil(tree.size / tileWidth) - 1
    const from = index * tileWidth
    const tile = this.files.tile({ level: 0, index, width: tree.size - from })
    if (tile === undefined) return undefined
    const bundle: Array<Uint8Array> = []
    let differs: number | undefined
    await eachEvent(this.options.log, from, tree.size, async (events) => {
      for (const { position, bytes } of events) {
        if (differs === undefined && !sameHash(leafHash(bytes), tile[position - 1 - from] as Hash)) differs = position
        bundle.push(bytes)
      }
    })
    if (differs !== undefined) return undefined
    return bundle.length === tileWidth ? [] : bundle
  }

  /** Folds the events that a checkpoint covers. @throws LOG_FORKED when they do not give its root */
  async prove({ size, root }: TreeHead): Promise<void> {
    const tree = new TileTree()
    let differs: number | undefined
    await eachEvent(this.options.log, 0, size, async (events) => {
      for (const { bytes } of events) {
        const leaf = leafHash(bytes)
        tree.add(leaf, ({ level, index }, hashes) => {
          if (level !== 0 || differs !== undefined) return
          const tile = this.files.tile({ level, index, width: tileWidth })
          const at = tile === undefined ? -1 : hashes.findIndex((hash, i) => !sameHash(hash, tile[i]!))
          if (at >= 0) differs = index * tileWidth + at + 1
        })
      }
    })
    if (sameHash(tree.root(), root)) return
    const where = differs === undefined ? `events 1 to ${size}` : `event ${differs}`
    throw fail("LOG_FORKED", {
      head: this.options.log.head(),
      why: `the checkpoint of ${size} events has another root than they have now; look at ${where}`,
    })
  }
}
