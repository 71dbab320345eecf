/**
 * A host that dies: volumes whose every write is kept apart until it is synced, under a seeded scheduler.
 *
 * | at                 | writes not yet synced                                    | requests in flight                        |
 * | ------------------ | -------------------------------------------------------- | ----------------------------------------- |
 * | `kill`             | all kept: they are in the operating system's memory       | some of their sectors, in order           |
 * | `powerLoss`        | each 512-byte sector keeps any one of what it was since the last sync, each by its own chance | any of their sectors |
 *
 * Names of files, and the size of a file never synced, are lost and kept in the same way. After either, everything the dead process
 * still holds is inert: its requests never settle.
 *
 * | fault (`FaultHost.faults`) | what it leaves                                                                                      |
 * | -------------------------- | --------------------------------------------------------------------------------------------------- |
 * | a write fails              | some of its sectors, in order; none of the others                                                     |
 * | the disk is full           | ENOSPC for every sector that was never written; the others can be written again                       |
 * | a sync fails               | what it should have covered is on the disk or never will be: the system has forgotten that it is not (fsync(2)), and the next sync succeeds |
 * | a read, a punch, a change of names fails | nothing                                                                                |
 *
 * Not modelled: a small file that cannot be replaced, or a process that is killed, right after a sync that failed (two faults at once, and
 * nothing can be promised). Nor pages that a failed sync has lost and that are still read as if it had not. Here they are read from the disk once the process
 * has ended.
 *
 * **Details** Nothing happens but in `step`, which carries out one waiting request, chosen by the seed.
 */
import { fail } from "../../core/errors.ts"
import type { VolumeFolder, WritableVolume } from "../../core/storage/volume.ts"
import type { Random } from "./random.ts"

const SECTOR = 512
const ZEROS = Buffer.alloc(SECTOR)
/** The same bytes, and known to be there by a punch. */
const HOLE = Buffer.alloc(SECTOR)

interface Waiting {
  carryOut(): void
  /** What a crash leaves of it. */
  leave(): void
}

/** What may fail, each request by the same chance. */
export interface Faults {
  chance: number
  /** Sectors never written cannot be. */
  full: boolean
}

export class FaultHost {
  readonly random: Random
  readonly faults: Faults = { chance: 0, full: false }
  /** A sync of this process has failed. */
  syncFailed = false
  /** Which run of the host this is; a power loss begins the next. */
  boot = 1
  /** Which process; requests of an earlier one are inert. */
  life = 1
  #waiting: Array<Waiting> = []

  constructor(random: Random) {
    this.random = random
  }

  get waiting(): number {
    return this.#waiting.length
  }

  /** Queues a request; settles when `step` chooses it, having run `carryOut`. */
  request<A>(carryOut: () => A, leave: () => void = () => {}): Promise<A> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({
        leave,
        carryOut: () => {
          try {
            resolve(carryOut())
          } catch (e) {
            reject(e)
          }
        },
      })
    })
  }

  /** The error that this request meets, if it does. */
  fault(codes: ReadonlyArray<"EIO" | "ENOSPC">): Error | undefined {
    const { chance } = this.faults
    if (chance === 0 || !this.random.chance(chance)) return undefined
    return nodeError(this.random.pick(codes))
  }

  /** Runs `work` while nothing fails. */
  async withoutFaults<A>(work: () => Promise<A>): Promise<A> {
    const { chance, full } = this.faults
    Object.assign(this.faults, { chance: 0, full: false })
    try {
      return await work()
    } finally {
      Object.assign(this.faults, { chance, full })
    }
  }

  /** Carries out one waiting request and lets everything that follows from it happen. */
  async step(): Promise<void> {
    const i = this.random.int(this.#waiting.length)
    const [chosen] = this.#waiting.splice(i, 1)
    chosen?.carryOut()
    await settled()
  }

  /** Steps until `work` has settled. */
  async drive<A>(work: Promise<A>): Promise<A> {
    let done = false
    const finish = () => {
      done = true
    }
    work.then(finish, finish)
    await settled()
    while (!done) {
      if (this.#waiting.length === 0) throw new Error("nothing is waiting, and the work is not done: it would hang")
      await this.step()
    }
    return work
  }

  /** Ends the process: what is in flight is left half done. */
  die(): void {
    const waiting = this.#waiting
    this.#waiting = []
    this.life++
    for (const w of waiting) w.leave()
    this.syncFailed = false
  }
}

const nodeError = (code: "EIO" | "ENOSPC"): Error => Object.assign(new Error(`${code}: the disk failed`), { code })

/** All that follows without anything being carried out has happened. */
export const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** A file as the disk and the page cache have it. */
class FaultFile {
  sizeBytes: number
  sizeSynced = false
  readonly current = new Map<number, Buffer>()
  readonly synced = new Map<number, Buffer>()
  /** What each sector was since the last sync, oldest first. */
  readonly since = new Map<number, Array<Buffer>>()
  /** Sectors that a failed sync has lost: the page cache has them, the disk never will. */
  readonly #forgotten = new Set<number>()

  constructor(sizeBytes: number) {
    this.sizeBytes = sizeBytes
  }

  sector(number: number): Buffer {
    return this.current.get(number) ?? ZEROS
  }

  put(number: number, bytes: Buffer): void {
    this.current.set(number, bytes)
    this.#forgotten.delete(number)
    const since = this.since.get(number)
    if (since === undefined) this.since.set(number, [bytes])
    else since.push(bytes)
  }

  /** How much of `since` a sync that begins now will cover. */
  mark(): Map<number, number> {
    return new Map([...this.since].map(([sector, list]) => [sector, list.length]))
  }

  sync(mark: Map<number, number>): void {
    this.sizeSynced = true
    for (const [sector, covered] of mark) {
      const list = this.since.get(sector)
      // A failed sync that ran at the same time has taken it.
      if (list === undefined || list.length < covered) continue
      this.synced.set(sector, list[covered - 1]!)
      if (list.length === covered) this.since.delete(sector)
      else this.since.set(sector, list.slice(covered))
    }
  }

  /** A sync that fails: each covered sector is on the disk or forgotten. */
  failSync(mark: Map<number, number>, r: Random): void {
    for (const [sector, covered] of mark) {
      const list = this.since.get(sector)
      if (list === undefined) continue
      if (r.chance(0.5)) this.synced.set(sector, list[Math.min(covered, list.length) - 1]!)
      else if (list.length <= covered) this.#forgotten.add(sector)
      if (list.length <= covered) this.since.delete(sector)
      else this.since.set(sector, list.slice(covered))
    }
  }

  /** What was forgotten is read from the disk again. */
  dropForgotten(): void {
    for (const sector of this.#forgotten) this.current.set(sector, this.synced.get(sector) ?? ZEROS)
    this.#forgotten.clear()
  }

  losePower(r: Random): void {
    this.dropForgotten()
    if (!this.sizeSynced && r.chance(0.5)) this.sizeBytes = 0
    const mood = r.int(4)
    for (const [sector, list] of this.since) {
      const kept = mood === 0 ? 0 : mood === 1 ? list.length : r.int(list.length + 1)
      const bytes = kept === 0 ? (this.synced.get(sector) ?? ZEROS) : list[kept - 1]!
      this.current.set(sector, bytes)
      this.synced.set(sector, bytes)
    }
    this.since.clear()
  }
}

export interface FaultOptions {
  /** How often a synchronous door misses. */
  readonly missChance: number
  /** A mistake for canaries: synchronous writes of these files are acknowledged now and happen later. */
  readonly lazyFiles?: ReadonlyArray<string>
}

export class FaultVolume implements WritableVolume {
  readonly sizeBytes: number
  readonly #host: FaultHost
  readonly #file: FaultFile
  readonly #life: number
  readonly #options: FaultOptions
  readonly #lazy: boolean

  constructor(host: FaultHost, file: FaultFile, options: FaultOptions, lazy: boolean) {
    this.sizeBytes = file.sizeBytes
    this.#host = host
    this.#file = file
    this.#life = host.life
    this.#options = options
    this.#lazy = lazy
  }

  readSync(into: Uint8Array, at: number, offset: number, length: number): boolean {
    this.#alive()
    if (this.#host.random.chance(this.#options.missChance)) return false
    this.#mayFail("EIO")
    this.#get(into, at, offset, length)
    return true
  }

  read(into: Uint8Array, at: number, offset: number, length: number): Promise<void> {
    return this.#request(() => {
      this.#mayFail("EIO")
      this.#get(into, at, offset, length)
    })
  }

  writeSync(from: Uint8Array, at: number, offset: number, length: number): boolean {
    this.#alive()
    if (this.#lazy) {
      const copy = Buffer.from(from.subarray(at, at + length))
      void this.#request(() => this.#put(copy, 0, offset, length))
      return true
    }
    if (this.#host.random.chance(this.#options.missChance)) return false
    this.#write(from, at, offset, length)
    return true
  }

  write(from: Uint8Array, at: number, offset: number, length: number): Promise<void> {
    return this.#request(
      () => this.#write(from, at, offset, length),
      () => this.#put(from, at, offset, this.#part(length)),
    )
  }

  flush(): Promise<void> {
    const mark = this.#file.mark()
    return this.#request(() => {
      const error = this.#host.fault(["EIO", "ENOSPC"])
      if (error === undefined) return this.#file.sync(mark)
      this.#host.syncFailed = true
      this.#file.failSync(mark, this.#host.random)
      throw error
    })
  }

  punch(offset: number, length: number): Promise<boolean> {
    const zeros = () => this.#punch(offset, length)
    const can = this.#host.random.chance(0.8)
    return this.#request(
      () => {
        this.#mayFail("EIO")
        if (can) zeros()
        return can
      },
      () => (can && this.#host.random.chance(0.5) ? zeros() : undefined),
    )
  }

  close(): Promise<void> {
    return this.#request(() => {})
  }

  #request<A>(carryOut: () => A, leave?: () => void): Promise<A> {
    // A dead process's request is never heard of again.
    if (this.#life !== this.#host.life) return new Promise(() => {})
    return this.#host.request(carryOut, leave)
  }

  #mayFail(...codes: ReadonlyArray<"EIO" | "ENOSPC">): void {
    const error = this.#host.fault(codes)
    if (error !== undefined) throw error
  }

  /** Some of a write's bytes, in whole sectors. */
  #part(length: number): number {
    return Math.min(length, this.#host.random.int(2 * (length / SECTOR) + 1) * SECTOR)
  }

  #write(from: Uint8Array, at: number, offset: number, length: number): void {
    const error = this.#host.fault(["EIO", "ENOSPC"]) ?? this.#noRoom(offset, length)
    this.#put(from, at, offset, error === undefined ? length : this.#part(length))
    if (error !== undefined) throw error
  }

  #noRoom(offset: number, length: number): Error | undefined {
    if (!this.#host.faults.full) return undefined
    for (let s = Math.floor(offset / SECTOR); s * SECTOR < offset + length; s++) {
      const bytes = this.#file.current.get(s)
      if (bytes === undefined || bytes === HOLE) return nodeError("ENOSPC")
    }
    return undefined
  }

  /** Whole sectors become holes, the rest zeros. */
  #punch(offset: number, length: number): void {
    this.#put(new Uint8Array(length), 0, offset, length)
    const end = Math.floor((offset + length) / SECTOR)
    for (let s = Math.ceil(offset / SECTOR); s < end; s++) this.#file.put(s, HOLE)
  }

  #alive(): void {
    if (this.#life !== this.#host.life) throw new Error("a dead process wrote")
  }

  #get(into: Uint8Array, at: number, offset: number, length: number): void {
    for (let from = offset; from < offset + length; ) {
      const sector = Math.floor(from / SECTOR)
      const inside = from - sector * SECTOR
      const n = Math.min(SECTOR - inside, offset + length - from)
      this.#file.sector(sector).copy(into, at + from - offset, inside, inside + n)
      from += n
    }
  }

  #put(bytes: Uint8Array, at: number, offset: number, length: number): void {
    for (let from = offset; from < offset + length; ) {
      const sector = Math.floor(from / SECTOR)
      const inside = from - sector * SECTOR
      const n = Math.min(SECTOR - inside, offset + length - from)
      const merged = Buffer.from(this.#file.sector(sector))
      merged.set(bytes.subarray(at + from - offset, at + from - offset + n), inside)
      this.#file.put(sector, merged)
      from += n
    }
  }
}

/** A folder on such a host. It is the disk: it lives on when processes and power do not. */
export class FaultFolder implements VolumeFolder {
  readonly path = "generation"
  readonly #host: FaultHost
  readonly #options: FaultOptions
  readonly #small = new Map<string, Uint8Array>()
  #names = new Map<string, FaultFile>()
  #syncedNames = new Map<string, FaultFile>()

  constructor(host: FaultHost, options: FaultOptions) {
    this.#host = host
    this.#options = options
  }

  kill(): void {
    this.#host.die()
    for (const file of this.#names.values()) file.dropForgotten()
  }

  /** A sector of this range that was punched and not written since. */
  holeIn(name: string, offset: number, length: number): number | undefined {
    const file = this.#names.get(name)
    for (let s = offset / SECTOR; s < (offset + length) / SECTOR; s++) if (file?.sector(s) === HOLE) return s
    return undefined
  }

  powerLoss(): void {
    const r = this.#host.random
    this.#host.die()
    this.#host.boot++
    for (const name of new Set([...this.#names.keys(), ...this.#syncedNames.keys()])) {
      const [now, then] = [this.#names.get(name), this.#syncedNames.get(name)]
      const kept = now === then || r.chance(0.5) ? now : then
      if (kept === undefined) this.#names.delete(name)
      else this.#names.set(name, kept)
    }
    for (const file of new Set([...this.#names.values(), ...this.#syncedNames.values()])) file.losePower(r)
    this.#syncedNames = new Map(this.#names)
  }

  open(name: string, options?: { readonly create?: { readonly sizeBytes: number } }): Promise<WritableVolume> {
    return this.#host.request(() => {
      this.#mayFail("EIO", ...(options?.create ? (["ENOSPC"] as const) : []))
      let file = this.#names.get(name)
      if (options?.create === undefined) {
        if (file === undefined) throw fail("IMAGE_FILE_NOT_FOUND", { path: name })
      } else {
        if (file !== undefined) throw new Error(`${name} exists already`)
        file = new FaultFile(options.create.sizeBytes)
        this.#names.set(name, file)
      }
      return new FaultVolume(this.#host, file, this.#options, this.#options.lazyFiles?.includes(name) ?? false)
    })
  }

  async readFile(name: string): Promise<Uint8Array | undefined> {
    return this.#small.get(name)
  }

  replaceFile(name: string, bytes: Uint8Array): Promise<void> {
    const replace = () => {
      if (!this.#host.syncFailed) this.#mayFail("EIO", "ENOSPC")
      set()
    }
    const set = () => {
      this.#small.set(name, Uint8Array.from(bytes))
      this.#syncedNames = new Map(this.#names)
    }
    return this.#host.request(replace, () =>
      this.#host.syncFailed || this.#host.random.chance(0.5) ? set() : undefined,
    )
  }

  #mayFail(...codes: ReadonlyArray<"EIO" | "ENOSPC">): void {
    const error = this.#host.fault(codes)
    if (error !== undefined) throw error
  }

  async list(): Promise<ReadonlyArray<string>> {
    return [...this.#names.keys(), ...this.#small.keys()].sort()
  }
  folder(): VolumeFolder {
    throw new Error("a generation has no folders")
  }
  async rename(): Promise<void> {
    throw new Error("an overlay renames nothing")
  }
  remove(name: string): Promise<void> {
    return this.#host.request(() => {
      this.#mayFail("EIO")
      this.#names.delete(name)
    })
  }
  sync(): Promise<void> {
    return this.#host.request(() => {
      this.#mayFail("EIO")
      this.#syncedNames = new Map(this.#names)
    })
  }
}
