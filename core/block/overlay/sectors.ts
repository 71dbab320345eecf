/**
 * Sectors of a map file that were read together: judged and counted many at a time, without an object for each.
 *
 * **Details** A map of 4 TiB has a million sectors, and all of them are judged when its overlay is opened. So states are looked at by words of
 * 16 grains: what a sector says (sector.ts) is the same, told about ten times as fast. Only whole pairs of bits are compared, so the order of
 * bytes in a word does not matter.
 */
import { crc32c, readU32 } from "../../bytes.ts"
import { DATA, PAGE_FILE_BYTES, PAGE_SECTORS, PAYLOAD_BYTES, SECTOR, SECTOR_GRAINS } from "./geometry.ts"
import { PAYLOAD_AT } from "./sector.ts"

const SECTOR_WORDS = SECTOR / 4
const PAYLOAD_WORDS = PAYLOAD_BYTES / 4
const WORD_GRAINS = SECTOR_GRAINS / PAYLOAD_WORDS
/** One bit of each grain in a word. */
const LOWER = 0x5555_5555

/** A word of 16 grains in one state. */
const wordOf = (state: number): number => (state * LOWER) | 0
const ALL_DATA = wordOf(DATA)

export class Sectors {
  readonly bytes: Buffer
  /** Of all valid sectors that were judged. */
  dataGrains = 0
  zeroGrains = 0
  readonly #words: Int32Array
  /** What the checksum of each sector covers. */
  readonly #covered: Array<Buffer | undefined>

  constructor(bytes: number) {
    this.bytes = Buffer.allocUnsafeSlow(bytes)
    this.#words = new Int32Array(this.bytes.buffer, 0, bytes / 4)
    this.#covered = new Array(bytes / SECTOR).fill(undefined)
  }

  /** Index of the first of the page's sectors that is damaged, or -1. The page is at `at`; `firstSector` is its number in its file. */
  damagedIn(at: number, firstSector: number, tag: number): number {
    for (let s = 0; s < PAGE_SECTORS; s++) if (!this.#isValid(at + s * SECTOR, firstSector + s, tag)) return s
    return -1
  }

  /** Calls `turn` where a run of grains begins, for the first `grains` of the page at `at`. `before` is the state of the grain before it. */
  eachTurn(at: number, grains: number, before: number, turn: (grain: number, state: number) => void): void {
    const words = this.#words
    let state = before
    let same = wordOf(state)
    for (let first = 0, sector = at; first < grains; first += SECTOR_GRAINS, sector += SECTOR) {
      const from = (sector + PAYLOAD_AT) >> 2
      const to = from + Math.ceil(Math.min(SECTOR_GRAINS, grains - first) / WORD_GRAINS)
      for (let w = from; w < to; w++) {
        if (words[w] === same) continue
        const grain = first + (w - from) * WORD_GRAINS
        state = this.#turnsIn(w << 2, grain, Math.min(WORD_GRAINS, grains - grain), state, turn)
        same = wordOf(state)
      }
    }
  }

  /** The same for the `count` grains of one word, from `grain` of the page on; answers the state of the last. */
  #turnsIn(byte: number, grain: number, count: number, before: number, turn: (grain: number, state: number) => void) {
    let state = before
    for (let g = 0; g < count; g++) {
      const here = (this.bytes[byte + (g >> 2)]! >> ((g & 3) << 1)) & 3
      if (here !== state) turn(grain + g, here)
      state = here
    }
    return state
  }

  #isValid(at: number, number: number, tag: number): boolean {
    if (this.#isZero(at)) return true
    const { bytes } = this
    if (readU32(bytes, at + 4) !== number || readU32(bytes, at + 8) !== tag) return false
    const covered = (this.#covered[at / SECTOR] ??= bytes.subarray(at + 4, at + SECTOR))
    return readU32(bytes, at) === crc32c(covered) && this.#count(at)
  }

  #isZero(at: number): boolean {
    const words = this.#words
    const end = (at >> 2) + SECTOR_WORDS
    for (let w = at >> 2; w < end; w++) if (words[w] !== 0) return false
    return true
  }

  /** False when a state is the one that only memory knows. */
  #count(at: number): boolean {
    const words = this.#words
    const from = (at + PAYLOAD_AT) >> 2
    let [data, zero] = [0, 0]
    for (let w = from; w < from + PAYLOAD_WORDS; w++) {
      const word = words[w]!
      if (word === 0) continue
      if (word === ALL_DATA) data += WORD_GRAINS
      else {
        const [lower, upper] = [word & LOWER, (word >>> 1) & LOWER]
        if ((lower & upper) !== 0) return false
        data += onesOf(lower)
        zero += onesOf(upper)
      }
    }
    this.dataGrains += data
    this.zeroGrains += zero
    return true
  }
}

/** How many bits are set of a word in which only every other may be. */
const onesOf = (lower: number): number => {
  const pairs = (lower & 0x3333_3333) + ((lower >>> 2) & 0x3333_3333)
  const fours = (pairs + (pairs >>> 4)) & 0x0f0f_0f0f
  return (Math.imul(fours, 0x0101_0101) >>> 24) & 0xff
}

/** Bytes for so many pages, at most. */
export const sectorsFor = (pages: number, bytesMax: number): Sectors =>
  new Sectors(Math.min(pages * PAGE_FILE_BYTES, bytesMax))
