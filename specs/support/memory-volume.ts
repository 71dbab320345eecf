/**
 * Volumes in memory, sparse, for specs: they can miss, wait and fail when a spec says so.
 *
 * **Details** Space is kept in 4 KiB chunks, so a volume of 4 TiB costs what was written to it. Asking a closed volume is an error that
 * no spec expects.
 */
import type { Extent } from "../../core/block/device.ts"
import { ExtentList } from "../../core/block/extents.ts"
import { fail } from "../../core/errors.ts"
import type { VolumeFolder, WritableVolume } from "../../core/storage/volume.ts"

const CHUNK = 4096

export interface Behaviour {
  /** Asked before each synchronous request; true makes it a miss. */
  misses?: (request: "read" | "write") => boolean
  /** Awaited before each asynchronous request. */
  waits?: (request: string) => Promise<void> | undefined
  /** Called before each request; may throw. */
  fails?: (request: string, offset: number, length: number) => void
}

/** What a volume was asked, for specs that count. */
export interface Counts {
  readSync: number
  read: number
  writeSync: number
  write: number
  flush: number
  punch: number
}

export class MemoryVolume implements WritableVolume {
  readonly sizeBytes: number
  readonly behaviour: Behaviour
  readonly counts: Counts = { readSync: 0, read: 0, writeSync: 0, write: 0, flush: 0, punch: 0 }
  readonly chunks: Map<number, Buffer>
  canPunch = true
  closed = false

  constructor(sizeBytes: number, behaviour: Behaviour = {}, chunks = new Map<number, Buffer>()) {
    this.sizeBytes = sizeBytes
    this.behaviour = behaviour
    this.chunks = chunks
  }

  static of(bytes: Uint8Array, behaviour: Behaviour = {}): MemoryVolume {
    const volume = new MemoryVolume(bytes.length, behaviour)
    volume.put(bytes, 0, 0, bytes.length)
    return volume
  }

  readSync(into: Uint8Array, at: number, offset: number, length: number): boolean {
    this.#asked("readSync", offset, length)
    if (this.behaviour.misses?.("read")) return false
    this.get(into, at, offset, length)
    return true
  }

  async read(into: Uint8Array, at: number, offset: number, length: number): Promise<void> {
    this.#asked("read", offset, length)
    await this.behaviour.waits?.("read")
    this.get(into, at, offset, length)
  }

  writeSync(from: Uint8Array, at: number, offset: number, length: number): boolean {
    this.#asked("writeSync", offset, length)
    if (this.behaviour.misses?.("write")) return false
    this.put(from, at, offset, length)
    return true
  }

  async write(from: Uint8Array, at: number, offset: number, length: number): Promise<void> {
    this.#asked("write", offset, length)
    await this.behaviour.waits?.("write")
    this.put(from, at, offset, length)
  }

  async flush(): Promise<void> {
    this.#asked("flush", 0, 0)
    await this.behaviour.waits?.("flush")
  }

  async punch(offset: number, length: number): Promise<boolean> {
    this.#asked("punch", offset, length)
    await this.behaviour.waits?.("punch")
    if (!this.canPunch) return false
    this.put(new Uint8Array(length), 0, offset, length)
    for (let c = Math.ceil(offset / CHUNK); (c + 1) * CHUNK <= offset + length; c++) this.chunks.delete(c)
    return true
  }

  async extents(offset: number, length: number, max: number): Promise<ReadonlyArray<Extent>> {
    const list = new ExtentList(max)
    const end = offset + length
    let at = offset
    for (const chunk of [...this.chunks.keys()].sort((a, b) => a - b)) {
      const from = Math.max(chunk * CHUNK, at)
      const to = Math.min((chunk + 1) * CHUNK, end)
      if (from >= to) continue
      if (!list.push(at, from - at, "zero") || !list.push(from, to - from, "data")) return list.list
      at = to
    }
    list.push(at, end - at, "zero")
    return list.list
  }

  async close(): Promise<void> {
    if (this.closed) throw new Error("the volume is closed a second time")
    this.closed = true
  }

  get(into: Uint8Array, at: number, offset: number, length: number): void {
    for (let from = offset; from < offset + length; ) {
      const chunk = Math.floor(from / CHUNK)
      const inside = from - chunk * CHUNK
      const n = Math.min(CHUNK - inside, offset + length - from)
      const bytes = this.chunks.get(chunk)
      const place = at + from - offset
      if (bytes === undefined) into.fill(0, place, place + n)
      else into.set(bytes.subarray(inside, inside + n), place)
      from += n
    }
  }

  put(bytes: Uint8Array, at: number, offset: number, length: number): void {
    for (let from = offset; from < offset + length; ) {
      const chunk = Math.floor(from / CHUNK)
      const inside = from - chunk * CHUNK
      const n = Math.min(CHUNK - inside, offset + length - from)
      let into = this.chunks.get(chunk)
      if (into === undefined) this.chunks.set(chunk, (into = Buffer.alloc(CHUNK)))
      into.set(bytes.subarray(at + from - offset, at + from - offset + n), inside)
      from += n
    }
  }

  /** Another opening of the same bytes, as two descriptors of one file are. */
  reopened(): MemoryVolume {
    const again = new MemoryVolume(this.sizeBytes, this.behaviour, this.chunks)
    again.canPunch = this.canPunch
    return again
  }

  #asked(request: keyof Counts, offset: number, length: number): void {
    if (this.closed) throw new Error(`${request} of a closed volume`)
    if (offset < 0 || offset + length > this.sizeBytes) throw new Error(`${request} outside the volume`)
    this.counts[request]++
    this.behaviour.fails?.(request, offset, length)
  }
}

/** A folder of memory volumes. `behaviourOf` gives each volume its own. */
export class MemoryFolder implements VolumeFolder {
  readonly path: string
  readonly volumes = new Map<string, MemoryVolume>()
  readonly files = new Map<string, Uint8Array>()
  readonly folders = new Map<string, MemoryFolder>()
  readonly #behaviourOf: (name: string) => Behaviour

  constructor(path = "memory", behaviourOf: (name: string) => Behaviour = () => ({})) {
    this.path = path
    this.#behaviourOf = behaviourOf
  }

  async open(name: string, options?: { readonly create?: { readonly sizeBytes: number } }): Promise<MemoryVolume> {
    const existing = this.volumes.get(name)
    if (options?.create === undefined) {
      if (existing === undefined) throw fail("IMAGE_FILE_NOT_FOUND", { path: `${this.path}/${name}` })
      const again = existing.reopened()
      this.volumes.set(name, again)
      return again
    }
    if (existing !== undefined) throw new Error(`${name} exists already`)
    const volume = new MemoryVolume(options.create.sizeBytes, this.#behaviourOf(name))
    this.volumes.set(name, volume)
    return volume
  }

  async readFile(name: string): Promise<Uint8Array | undefined> {
    return this.files.get(name)
  }
  async replaceFile(name: string, bytes: Uint8Array): Promise<void> {
    this.files.set(name, Uint8Array.from(bytes))
  }
  async list(): Promise<ReadonlyArray<string>> {
    return [...this.volumes.keys(), ...this.files.keys(), ...this.folders.keys()].sort()
  }
  folder(name: string): MemoryFolder {
    const folder = this.folders.get(name) ?? new MemoryFolder(`${this.path}/${name}`, this.#behaviourOf)
    this.folders.set(name, folder)
    return folder
  }
  async rename(): Promise<void> {
    throw new Error("an overlay renames nothing")
  }
  async remove(name: string): Promise<void> {
    this.volumes.delete(name)
    this.files.delete(name)
    this.folders.delete(name)
  }
  async sync(): Promise<void> {}
}
