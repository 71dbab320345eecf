/**
 * Reads what a retired generation holds from its folder, without opening it for anybody: for a commit, also one that a crash cut short,
 * and for the map of a version that was sealed in place.
 *
 * | the generation                     | call                       | why                                                             |
 * | ---------------------------------- | -------------------------- | --------------------------------------------------------------- |
 * | frozen by its overlay              | `openOwnExtents`           | freezing brought its durable map up to its working one          |
 * | retired, and then the server died  | `settleGeneration` first   | what this run of the host acknowledged may be in the working map only |
 * | retired, and then the host died    | `settleGeneration` first   | it changes nothing: the durable map is what was promised         |
 * | retired, after a sync that failed  | `settleGeneration` first   | the same                                                        |
 * | sealed long ago                    | `openOwnExtents`           | nothing writes to it any more                                   |
 *
 * **Gotchas** Nobody may have it open meanwhile. Tables that were written from its runs before a power loss may name more than it holds after
 * one: a commit that is taken up again writes them again.
 */
import { fail } from "../../errors.ts"
import type { VolumeFolder, WritableVolume } from "../../storage/volume.ts"
import type { Extent } from "../device.ts"
import {
  ABSENT,
  directorySectorsOf,
  PAGE_FILE_BYTES,
  PAGE_SECTORS,
  PAGE_STATE_BYTES,
  PAYLOAD_BYTES,
  pageOffset,
  pagesOf,
  SECTOR,
} from "./geometry.ts"
import { type OverlayHeader, readHeader } from "./header.ts"
import { closingOnError, DATA_FILE, DURABLE_FILE, openFile, tagOf, WORKING_FILE } from "./open.ts"
import { lastGrain, type OwnBytes, ownBytes, RunJoiner } from "./own.ts"
import { MapPage, NO_PAGE, stateOf } from "./page.ts"
import { catchUp } from "./recover.ts"
import { MapDamage, sameMaps, scanMap, windowEnd } from "./scan.ts"
import { checkSector, checkStates, PAYLOAD_AT } from "./sector.ts"

export interface OwnExtents extends OwnBytes {
  readonly header: OverlayHeader
  /** The runs in order, from the first grain to the last; a mebibyte of map is read at a time. May be called again. */
  runs(): AsyncGenerator<Extent>
  close(): Promise<void>
}

/** Opens the durable map of a keep or super generation; all of it is checked before the answer. @throws OVERLAY_DAMAGED IO_ERROR */
export const openOwnExtents = (folder: VolumeFolder): Promise<OwnExtents> =>
  naming(folder, () =>
    closingOnError(async (opened) => {
      const header = await headerOf(folder)
      const durable = opened(await openFile(folder, DURABLE_FILE))
      const { sizeBytes } = header
      const { directory, dataGrains, zeroGrains } = await scanMap(durable, sizeBytes, tagOf(header))
      const map = new MapFile(header, durable, directory)
      const { page, grain } = lastGrain(sizeBytes)
      const lastPage = await map.page(page)
      const lastState = lastPage === NO_PAGE ? ABSENT : stateOf(lastPage, grain)
      return {
        header,
        ...ownBytes(sizeBytes, dataGrains, zeroGrains, lastState),
        runs: () => map.runs(folder),
        close: () => durable.close(),
      }
    }),
  )

/**
 * Brings the durable map of a keep or super generation up to what was acknowledged: what its overlay does when it is opened again.
 * @throws OVERLAY_DAMAGED IO_ERROR NO_SPACE
 */
export const settleGeneration = (folder: VolumeFolder, hostBootId: string | undefined): Promise<void> =>
  naming(folder, async () => {
    const header = await headerOf(folder)
    if (header.hostBootId === "" || header.hostBootId !== hostBootId) return
    const volumes: Array<WritableVolume> = []
    const open = async (name: string) => {
      const volume = await openFile(folder, name)
      volumes.push(volume)
      return volume
    }
    try {
      const files = {
        data: await open(DATA_FILE),
        working: await open(WORKING_FILE),
        durable: await open(DURABLE_FILE),
      }
      const { directory } = await behind(files.working, files.durable, header)
      await catchUp(folder, header, directory, files)
    } finally {
      await Promise.allSettled(volumes.map((volume) => volume.close()))
    }
  })

/** The pages that the durable map is to be brought up to: none where it says what the working one says, as after a freeze. */
const behind = async (working: WritableVolume, durable: WritableVolume, header: OverlayHeader) => {
  const [{ sizeBytes }, tag] = [header, tagOf(header)]
  if (!(await sameMaps(working, durable, sizeBytes, tag))) return scanMap(working, sizeBytes, tag)
  return { directory: new Uint8Array(directorySectorsOf(sizeBytes) * PAYLOAD_BYTES) }
}

const headerOf = async (folder: VolumeFolder): Promise<OverlayHeader> => {
  const header = await readHeader(folder)
  if (header === undefined) throw new MapDamage("its header is not there")
  return header
}

/** Says which overlay a damage is of. */
const naming = async <A>(folder: VolumeFolder, work: () => Promise<A>): Promise<A> => {
  try {
    return await work()
  } catch (e) {
    throw named(folder, e)
  }
}

const namingNow = <A>(folder: VolumeFolder, work: () => A): A => {
  try {
    return work()
  } catch (e) {
    throw named(folder, e)
  }
}

const named = (folder: VolumeFolder, e: unknown): unknown =>
  e instanceof MapDamage ? fail("OVERLAY_DAMAGED", { path: folder.path, why: e.message }, { underlying: e }) : e

class MapFile {
  readonly #sizeBytes: number
  readonly #tag: number
  readonly #volume: WritableVolume
  readonly #directory: Uint8Array

  constructor(header: OverlayHeader, volume: WritableVolume, directory: Uint8Array) {
    this.#sizeBytes = header.sizeBytes
    this.#tag = tagOf(header)
    this.#volume = volume
    this.#directory = directory
  }

  async page(number: number): Promise<MapPage> {
    if (!this.#exists(number)) return NO_PAGE
    return this.#decode(await this.#read(number, 1), 0, new MapPage(number))
  }

  async *runs(folder: VolumeFolder): AsyncGenerator<Extent> {
    const joiner = new RunJoiner(this.#sizeBytes)
    const total = pagesOf(this.#sizeBytes)
    const exists = (page: number) => this.#exists(page)
    // One for all pages: the runs of a page are told before the next one is looked at.
    const states = Buffer.alloc(PAGE_STATE_BYTES)
    for (let first = 0; first < total; ) {
      if (!exists(first)) {
        yield* joiner.page(first++, NO_PAGE)
        continue
      }
      const count = windowEnd(first, total, exists) - first
      const bytes = await this.#read(first, count)
      for (let i = 0; i < count; i++) {
        const number = first + i
        const decode = () => this.#decode(bytes, i, new MapPage(number, states))
        const page = exists(number) ? namingNow(folder, decode) : NO_PAGE
        yield* joiner.page(number, page)
      }
      first += count
    }
    yield joiner.last()
  }

  async #read(first: number, count: number): Promise<Buffer> {
    const bytes = Buffer.allocUnsafe(count * PAGE_FILE_BYTES)
    await this.#volume.read(bytes, 0, pageOffset(this.#sizeBytes, first), bytes.length)
    return bytes
  }

  /** Fills a page with the one that is the `i`th in `bytes`. @throws MapDamage */
  #decode(bytes: Buffer, i: number, page: MapPage): MapPage {
    const firstSector = pageOffset(this.#sizeBytes, page.number) / SECTOR
    for (let s = 0; s < PAGE_SECTORS; s++) {
      const from = i * PAGE_FILE_BYTES + s * SECTOR
      if (!checkSector(bytes, from, firstSector + s, this.#tag) || !checkStates(bytes, from)) {
        throw new MapDamage(`sector ${firstSector + s} of its map is damaged`)
      }
      bytes.copy(page.states, s * PAYLOAD_BYTES, from + PAYLOAD_AT, from + SECTOR)
    }
    return page
  }

  #exists(number: number): boolean {
    return (this.#directory[number >> 3]! & (1 << (number & 7))) !== 0
  }
}
