/**
 * A version of an image as a read-only device: its bytes come through the shared cache from the volume below.
 *
 * **Details** A version has nothing below it, so its extents are data and zero only.
 *
 * **Gotchas** Closing it does not close the volume below: whoever opened that closes it, because a tier move outlives one or the other.
 */
import { fail } from "../errors.ts"
import { limits } from "../limits.ts"
import type { Volume } from "../storage/volume.ts"
import type { ReadCache } from "./cache.ts"
import type { BlockDevice, BlockFeatures, Extent, Unlock } from "./device.ts"
import { clipExtents, ExtentList } from "./extents.ts"
import { InFlight } from "./in-flight.ts"
import { RangeLock } from "./range-lock.ts"

export interface VersionOptions {
  /** Identity of the disk as initiators see it. */
  readonly id: string
  /** Key of the bytes in the cache; what versions share has one content id. */
  readonly contentId: string
  readonly cache: ReadCache
  readonly below: Pick<Volume, "read" | "readSync" | "extents">
  readonly sizeBytes: number
  /** Judges each whole cluster (the last one zero-padded) when the cache fills. */
  readonly verify?: ((cluster: number, bytes: Uint8Array) => boolean) | undefined
  /** Called for each cluster a client reads. */
  readonly heat?: ((contentIndex: number, cluster: number) => void) | undefined
}

/** Opens a version over the volume that holds its guest content. */
export const openVersion = (options: VersionOptions): Version => {
  const { id, below, sizeBytes, verify } = options
  const content = options.cache.open({
    contentId: options.contentId,
    sizeBytes,
    read: (into, at, offset, length) => below.read(into, at, offset, length),
    ...(below.readSync && { readSync: below.readSync.bind(below) }),
    verify,
    touched: options.heat,
  })
  return new Version({ id, sizeBytes, content, below })
}

/** What a version reads through the cache: one content, or several where layers brought some (layers/content.ts). */
export interface VersionContent {
  /** Copies when every cluster of the range is held, or the only one can be loaded at once; otherwise changes nothing and answers false. */
  readSync(into: Uint8Array, at: number, offset: number, length: number): boolean
  read(into: Uint8Array, at: number, offset: number, length: number, signal?: AbortSignal): Promise<void>
  prefetch(offset: number, length: number, signal?: AbortSignal): Promise<void>
  /** Brings a cluster into the RAM tier; false when there is no room. */
  keep(cluster: number): Promise<boolean>
  /** Content that a cluster is kept under. */
  contentIdOf(cluster: number): string
  close(): Promise<void>
}

export interface VersionParts {
  readonly id: string
  readonly sizeBytes: number
  readonly content: VersionContent
  readonly below: VersionOptions["below"]
}

const features: BlockFeatures = {
  byteGranular: true,
  writable: false,
  durable: false,
  trim: false,
  fastZero: false,
}
const nobody = () => {}

export class Version implements BlockDevice {
  readonly id: string
  readonly sizeBytes: number
  readonly logicalBlockBytes = limits.logicalBlockBytes
  readonly physicalBlockBytes = limits.physicalBlockBytes
  readonly optimalIoBytes = limits.clusterBytes
  readonly features = features
  readonly #content: VersionContent
  readonly #below: VersionOptions["below"]
  readonly #inFlight = new InFlight()
  readonly #locks = new RangeLock()
  #closed = false
  #closing: Promise<void> | undefined = undefined

  constructor(parts: VersionParts) {
    this.id = parts.id
    this.sizeBytes = parts.sizeBytes
    this.#below = parts.below
    this.#content = parts.content
  }

  readSync(into: Uint8Array, at: number, offset: number, length: number): boolean {
    if (this.#closed) throw this.#gone()
    return this.#content.readSync(into, at, offset, length)
  }

  async read(into: Uint8Array, at: number, offset: number, length: number, signal?: AbortSignal): Promise<void> {
    await this.#counted(() => this.#content.read(into, at, offset, length, signal))
  }

  async extents(offset: number, length: number, max: number): Promise<ReadonlyArray<Extent>> {
    const below = this.#below
    if (below.extents === undefined) return [{ offset, length, kind: "data" }]
    const found = await this.#counted(() => below.extents!(offset, length, max))
    const list = new ExtentList(max)
    for (const e of clipExtents(found, offset, length)) {
      if (!list.push(e.offset, e.length, e.kind === "data" ? "data" : "zero")) break
    }
    return list.list.length === 0 ? [{ offset, length, kind: "data" }] : list.list
  }

  /** A hint: what cannot be read now will say so when it is really read. */
  async prefetch(offset: number, length: number, signal?: AbortSignal): Promise<void> {
    await this.#counted(() => this.#content.prefetch(offset, length, signal).catch(nobody))
  }

  /** Brings a cluster into the RAM tier; false when there is no room. @throws MEDIUM_ERROR, and what the volume below throws */
  keep(cluster: number): Promise<boolean> {
    return this.#counted(() => this.#content.keep(cluster))
  }

  /** What is kept of it is let go by this name; versions that share a cluster have it under one. */
  contentIdOf(cluster: number): string {
    return this.#content.contentIdOf(cluster)
  }

  writeSync(_from: Uint8Array, _at: number, offset: number, length: number): boolean {
    throw this.#readOnly(offset, length)
  }
  async write(_from: Uint8Array, _at: number, offset: number, length: number): Promise<void> {
    throw this.#readOnly(offset, length)
  }
  zeroSync(offset: number, length: number): boolean {
    throw this.#readOnly(offset, length)
  }
  async zero(offset: number, length: number): Promise<void> {
    throw this.#readOnly(offset, length)
  }
  async trim(offset: number, length: number): Promise<void> {
    throw this.#readOnly(offset, length)
  }
  async flush(): Promise<void> {
    if (this.#closed) throw this.#gone()
  }
  lock(offset: number, length: number, signal?: AbortSignal): Promise<Unlock> {
    return this.#locks.lock(offset, length, signal)
  }
  onChange(): () => void {
    return nobody
  }

  close(): Promise<void> {
    this.#closed = true
    this.#closing ??= this.#inFlight.idle().then(() => this.#content.close())
    return this.#closing
  }

  async #counted<A>(request: () => Promise<A>): Promise<A> {
    if (this.#closed) throw this.#gone()
    this.#inFlight.enter()
    try {
      return await request()
    } finally {
      this.#inFlight.leave()
    }
  }

  #gone() {
    return fail("CLOSED", { what: `the version ${this.id}` })
  }
  #readOnly(offset: number, length: number) {
    return fail("READ_ONLY", { offset, length, what: this.id })
  }
}
