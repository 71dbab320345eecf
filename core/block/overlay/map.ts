/**
 * The working map of an overlay: which grains are absent, data or zero.
 *
 * Every change is written to the `working` file before memory knows it, so a page in memory is never ahead of the file: it can leave at
 * any time, and whatever a request was acknowledged on is there after a `kill -9`.
 *
 * | a page is | table holds | grains read as | becomes                                                          |
 * | --------- | ----------- | -------------- | ---------------------------------------------------------------- |
 * | not there | NO_PAGE     | absent         | loaded, by the first change in its 64 MiB: space first, then its directory bit |
 * | unloaded  | UNLOADED    | not known yet  | loaded, by whoever asks first                                     |
 * | loaded    | the page    | its states     | unloaded, by the budget; never while pinned                       |
 * | unsure    | UNLOADED    | the states it had, kept in memory | loaded, by the first change that can write all of it again |
 *
 * **Changing** A synchronous change writes its sectors with one `writeSync` and then updates memory, all in one turn of the loop.
 * An asynchronous one waits its turn first: two writes of one sector in flight could land in either order, and the older would undo the
 * newer. While one has the turn or waits for it (`committing > 0`), synchronous changes answer false.
 *
 * **Unsure.** A write of sectors that fails may have reached the file all the same. Memory says what was before, and it is right; but a later
 * change that finds nothing to change in memory (a zero over zero, data over data) would be acknowledged on a file that says otherwise.
 * So such a page is off the synchronous path, and its file is made right before anything else is changed in it.
 *
 * **Gotchas** Callers hold the grains they change (RangeLock, or one turn of the loop); this file guards sectors only.
 */
import assert from "node:assert"
import { fail } from "../../errors.ts"
import type { WritableVolume } from "../../storage/volume.ts"
import type { MapBudget } from "./budget.ts"
import { DirtySectors, type FreedPage, type MapChanges } from "./dirty.ts"
import { volumeError } from "./errors.ts"
import {
  DATA,
  HOT,
  LEAF_BITS,
  LEAF_MASK,
  LEAF_PAGES,
  PAGE_FILE_BYTES,
  PAGE_SECTORS,
  PAGE_SPAN,
  PAYLOAD_BYTES,
  pageOffset,
  pagesOf,
  SECTOR,
  SECTOR_GRAIN_BITS,
  SECTOR_GRAINS,
  SECTOR_PAGES,
  ZERO,
} from "./geometry.ts"
import { countStates, MapPage, NO_PAGE, setStates, takeSector, UNLOADED } from "./page.ts"
import { checkSector, checkStates, PAYLOAD_AT, sealSector } from "./sector.ts"

const WHAT = "overlay map"
const NO_LEAF: ReadonlyArray<MapPage> = new Array(LEAF_PAGES).fill(NO_PAGE)
const ZEROS = new Uint8Array(PAGE_FILE_BYTES)

export interface MapFiles {
  readonly working: WritableVolume
  /** Absent for an overlay that promises nothing after a power loss. */
  readonly durable: WritableVolume | undefined
}

/** What opening learned by reading the working file once. */
export interface MapContents {
  /** One bit for each page that exists. */
  readonly directory: Uint8Array
  readonly dataGrains: number
  readonly zeroGrains: number
}

export class GrainMap {
  /** Two-level table of pages; `leaves[n >> LEAF_BITS][n & LEAF_MASK]`. Read by the hot path, changed only here. */
  readonly leaves: Array<ReadonlyArray<MapPage>>
  /** Asynchronous changes that have or await their turn. */
  committing = 0
  dataGrains: number
  zeroGrains: number
  readonly #sizeBytes: number
  readonly #tag: number
  readonly #files: MapFiles
  readonly #budget: MapBudget
  readonly #directory: Uint8Array
  readonly #dirty: DirtySectors | undefined
  readonly #loading = new Map<number, Promise<void>>()
  readonly #unsure = new Map<number, MapPage>()
  readonly #scratch = new SectorRun()
  #turn: Promise<void> = Promise.resolve()

  constructor(sizeBytes: number, tag: number, files: MapFiles, budget: MapBudget, contents: MapContents) {
    this.#sizeBytes = sizeBytes
    this.#tag = tag
    this.#files = files
    this.#budget = budget
    this.#directory = contents.directory
    this.#dirty = files.durable === undefined ? undefined : new DirtySectors()
    this.dataGrains = contents.dataGrains
    this.zeroGrains = contents.zeroGrains
    const pages = pagesOf(sizeBytes)
    this.leaves = new Array(Math.ceil(pages / LEAF_PAGES)).fill(NO_LEAF)
    for (let n = 0; n < pages; n++) if (this.#exists(n)) this.#put(n, UNLOADED)
  }

  pageAt(number: number): MapPage {
    return this.leaves[number >> LEAF_BITS]![number & LEAF_MASK]!
  }

  /** A loaded page, pinned until `release`; NO_PAGE when it does not exist. @throws MEDIUM_ERROR IO_ERROR */
  async acquire(number: number): Promise<MapPage> {
    for (;;) {
      const page = this.pageAt(number)
      if (page === NO_PAGE) return page
      if (page !== UNLOADED) return pinned(page)
      const unsure = this.#unsure.get(number)
      if (unsure !== undefined) return pinned(unsure)
      await this.#once(number, () => this.#load(number))
    }
  }

  /** The same for a change: makes the page when it does not exist, and sure when it is not. @throws NO_SPACE */
  async acquireOrCreate(number: number): Promise<MapPage> {
    for (;;) {
      if (this.#unsure.has(number)) await this.#once(number, () => this.#makeSure(number))
      const page = await this.acquire(number)
      if (page !== NO_PAGE) return page
      await this.#once(number, () => this.#create(number))
    }
  }

  release(page: MapPage): void {
    if (page !== NO_PAGE) page.pins--
  }

  /** There is no durable map: what became zero can be given back at once, and nobody remembers it. */
  get givesBackAtOnce(): boolean {
    return this.#dirty === undefined
  }

  /**
   * Makes grains `[from, to)` of a page HOT or ZERO, on disk and then in memory; false when that cannot be done at once. `giveBack`: the
   * space of data that becomes zero is to be given back with the next flush.
   */
  commitSync(page: MapPage, from: number, to: number, state: typeof HOT | typeof ZERO, giveBack = false): boolean {
    if (this.committing > 0) return false
    const run = this.#scratch
    run.build(page, from, to, state, this.#firstSector(page), this.#tag)
    try {
      if (!this.#files.working.writeSync(run.bytes, 0, run.offset, run.length)) return false
    } catch (e) {
      this.#doubt(page)
      throw volumeError(e, page.number * PAGE_SPAN, PAGE_SPAN, WHAT)
    }
    this.#apply(page, from, to, state, giveBack)
    return true
  }

  async commit(
    page: MapPage,
    from: number,
    to: number,
    state: typeof HOT | typeof ZERO,
    giveBack = false,
  ): Promise<void> {
    if (this.commitSync(page, from, to, state, giveBack)) return
    await this.#inTurn(async () => {
      const run = new SectorRun()
      run.build(page, from, to, state, this.#firstSector(page), this.#tag)
      await this.#writeWorking(run.bytes, run.offset, run.length, page.number).catch((e) => {
        this.#doubt(page)
        throw e
      })
      this.#apply(page, from, to, state, giveBack)
    })
  }

  /**
   * Takes everything that changed since it was last taken, as bytes for the `durable` file, copied.
   *
   * **Gotchas** What changes during the call may be in it or not; what changes after it is not. Whoever cannot bring it to the disk gives it back.
   */
  async takeChanges(): Promise<MapChanges> {
    const changes = this.#dirty!.take()
    try {
      for (const number of changes.numbers()) {
        const page = await this.acquire(number)
        changes.addPage(number, pageOffset(this.#sizeBytes, number), this.#bytesOf(page))
        this.release(page)
      }
      for (const sector of changes.directory) {
        changes.directoryPieces.push({ offset: sector * SECTOR, bytes: this.#directorySector(sector, -1) })
      }
      return changes
    } catch (e) {
      this.putBack(changes)
      throw e
    }
  }

  putBack(changes: MapChanges): void {
    this.#dirty!.putBack(changes)
  }

  /** What a flush could not give back. */
  putBackFreed(freed: FreedPage): void {
    this.#dirty!.putBackFreed(freed)
  }

  /** Lets go of memory. */
  close(): void {
    this.#budget.removeAll(this)
  }

  /** Called by the budget. */
  drop(page: MapPage): void {
    assert(page.pins === 0, "a pinned page stays")
    this.#put(page.number, UNLOADED)
  }

  async #load(number: number): Promise<void> {
    const bytes = Buffer.alloc(PAGE_FILE_BYTES)
    const offset = pageOffset(this.#sizeBytes, number)
    try {
      await this.#files.working.read(bytes, 0, offset, PAGE_FILE_BYTES)
    } catch (e) {
      throw volumeError(e, number * PAGE_SPAN, PAGE_SPAN, WHAT)
    }
    const page = new MapPage(number)
    for (let s = 0; s < PAGE_SECTORS; s++) {
      const at = s * SECTOR
      if (!checkSector(bytes, at, offset / SECTOR + s, this.#tag) || !checkStates(bytes, at)) {
        const bytesOfSector = SECTOR_GRAINS * (PAGE_SPAN / (PAGE_SECTORS * SECTOR_GRAINS))
        throw fail("MEDIUM_ERROR", {
          offset: number * PAGE_SPAN + s * bytesOfSector,
          length: bytesOfSector,
          what: WHAT,
        })
      }
      bytes.copy(page.states, s * PAYLOAD_BYTES, at + PAYLOAD_AT, at + SECTOR)
    }
    this.#enter(page)
  }

  /** Reserves a page's space in both files before anything can need it, then says that it exists. */
  async #create(number: number): Promise<void> {
    const offset = pageOffset(this.#sizeBytes, number)
    const sector = Math.floor(number / SECTOR_PAGES)
    await this.#inTurn(async () => {
      await this.#writeWorking(ZEROS, offset, PAGE_FILE_BYTES, number)
      try {
        await this.#files.durable?.write(ZEROS, 0, offset, PAGE_FILE_BYTES)
      } catch (e) {
        throw volumeError(e, number * PAGE_SPAN, PAGE_SPAN, WHAT)
      }
      await this.#writeWorking(this.#directorySector(sector, number), sector * SECTOR, SECTOR, number)
      this.#directory[number >> 3]! |= 1 << (number & 7)
      this.#dirty?.addDirectory(sector)
      this.#enter(new MapPage(number))
    })
  }

  /** The page leaves the table, and memory keeps it. */
  #doubt(page: MapPage): void {
    if (this.#unsure.has(page.number)) return
    page.pins++
    this.#unsure.set(page.number, page)
    this.#put(page.number, UNLOADED)
  }

  async #makeSure(number: number): Promise<void> {
    await this.#inTurn(async () => {
      const page = this.#unsure.get(number)
      if (page === undefined) return
      const offset = pageOffset(this.#sizeBytes, number)
      await this.#writeWorking(this.#bytesOf(page), offset, PAGE_FILE_BYTES, number)
      this.#unsure.delete(number)
      this.release(page)
      this.#put(number, page)
    })
  }

  /** A page as the file has it. */
  #bytesOf(page: MapPage): Buffer {
    const bytes = Buffer.alloc(PAGE_FILE_BYTES)
    const first = this.#firstSector(page)
    for (let s = 0; s < PAGE_SECTORS; s++) {
      takeSector(page, s, bytes, s * SECTOR + PAYLOAD_AT)
      sealSector(bytes, s * SECTOR, first + s, this.#tag)
    }
    return bytes
  }

  async #writeWorking(bytes: Uint8Array, offset: number, length: number, page: number): Promise<void> {
    const { working } = this.#files
    try {
      if (!working.writeSync(bytes, 0, offset, length)) await working.write(bytes, 0, offset, length)
    } catch (e) {
      throw volumeError(e, page * PAGE_SPAN, PAGE_SPAN, WHAT)
    }
  }

  #apply(page: MapPage, from: number, to: number, state: number, giveBack: boolean): void {
    const dataBefore = countStates(page, from, to, DATA)
    const zeroBefore = countStates(page, from, to, ZERO)
    setStates(page.states, from, to, state)
    this.dataGrains += (state === HOT ? to - from : 0) - dataBefore
    this.zeroGrains += (state === ZERO ? to - from : 0) - zeroBefore
    const [first, last] = [from >> SECTOR_GRAIN_BITS, (to - 1) >> SECTOR_GRAIN_BITS]
    this.#dirty?.addSectors(page.number, first, last)
    if (giveBack && dataBefore > 0) this.#dirty?.addFreed(page.number, first, last)
  }

  #inTurn<A>(work: () => Promise<A>): Promise<A> {
    this.committing++
    const done = this.#turn.then(work).finally(() => this.committing--)
    this.#turn = done.then(nothing, nothing)
    return done
  }

  /** One load or creation of a page at a time. */
  async #once(number: number, work: () => Promise<void>): Promise<void> {
    let loading = this.#loading.get(number)
    if (loading === undefined) {
      loading = work().finally(() => this.#loading.delete(number))
      this.#loading.set(number, loading)
    }
    await loading
  }

  #enter(page: MapPage): void {
    this.#budget.add(page, this)
    this.#put(page.number, page)
  }

  #put(number: number, page: MapPage): void {
    const leaf = number >> LEAF_BITS
    if (this.leaves[leaf] === NO_LEAF) this.leaves[leaf] = NO_LEAF.slice()
    ;(this.leaves[leaf] as Array<MapPage>)[number & LEAF_MASK] = page
  }

  #exists(number: number): boolean {
    return (this.#directory[number >> 3]! & (1 << (number & 7))) !== 0
  }

  #firstSector(page: MapPage): number {
    return pageOffset(this.#sizeBytes, page.number) / SECTOR
  }

  /** A directory sector as it is now, with the bit of `adding` set as well. */
  #directorySector(sector: number, adding: number): Buffer {
    const bytes = Buffer.alloc(SECTOR)
    bytes.set(this.#directory.subarray(sector * PAYLOAD_BYTES, (sector + 1) * PAYLOAD_BYTES), PAYLOAD_AT)
    if (adding >= 0) bytes[PAYLOAD_AT + ((adding % SECTOR_PAGES) >> 3)]! |= 1 << (adding & 7)
    sealSector(bytes, 0, sector, this.#tag)
    return bytes
  }
}

const nothing = () => {}

const pinned = (page: MapPage): MapPage => {
  page.pins++
  page.used = 1
  return page
}

/** The sectors of one page that a change touches, built from memory plus the change, side by side for one write. */
class SectorRun {
  readonly bytes = Buffer.alloc(PAGE_FILE_BYTES)
  offset = 0
  length = 0

  build(page: MapPage, from: number, to: number, state: number, firstSector: number, tag: number): void {
    const first = from >> SECTOR_GRAIN_BITS
    const last = (to - 1) >> SECTOR_GRAIN_BITS
    const onDisk = state === HOT ? DATA : state
    for (let s = first; s <= last; s++) {
      const at = (s - first) * SECTOR
      takeSector(page, s, this.bytes, at + PAYLOAD_AT)
      const start = s * SECTOR_GRAINS
      // States in a sector begin at its payload, so grain numbers are moved by four to the byte.
      const shift = (at + PAYLOAD_AT) * 4 - start
      setStates(this.bytes, Math.max(from, start) + shift, Math.min(to, start + SECTOR_GRAINS) + shift, onDisk)
      sealSector(this.bytes, at, firstSector + s, tag)
    }
    this.offset = (firstSector + first) * SECTOR
    this.length = (last - first + 1) * SECTOR
  }
}
