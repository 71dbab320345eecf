/**
 * Reads blocks out of the file of slots.
 *
 *     judged, slots adjoin       one read of the file, straight into the caller's buffer: what a local image costs
 *     judged, slots apart        one for each run of slots that adjoin
 *     not judged                 the whole block is read, and compared with its CRC; then it is judged, if nobody else writes to the file
 *
 * **Details** Nothing is held for a reader: where a slot was taken for another block meanwhile, its bytes are missed. What cannot be read is dropped, and fetched again. With the callback API of `fs`, because a
 * FileHandle's promise costs twice as much.
 */
import { read } from "node:fs"
import { crc32c, type Host, limits, readAtOnce } from "imagelink/plugin"
import type { Slots } from "./slots.ts"

const BLOCK = limits.remoteBlockBytes
const SPARE_BLOCKS = limits.remoteJudgingBytes / BLOCK

/** What is wanted of slots that adjoin. */
interface Piece {
  readonly slot: number
  readonly count: number
  /** In the first of them. */
  readonly from: number
  readonly at: number
  readonly length: number
}

export class SlotReader {
  readonly #fd: number
  readonly #slots: Slots
  /** Nobody else writes to the file. */
  readonly #isOwn: boolean
  readonly #host: Host
  /** Memory for blocks that are judged and not wanted whole. */
  readonly #spare: Array<Buffer> = []
  #reading = 0
  #ended: (() => void) | undefined

  constructor(fd: number, slots: Slots, { isOwn, host }: { readonly isOwn: boolean; readonly host: Host }) {
    this.#fd = fd
    this.#slots = slots
    this.#isOwn = isOwn
    this.#host = host
  }

  /** As `BlockCache.read`. */
  read(object: string, offset: number, into: Uint8Array, at: number, length: number): Promise<boolean> | undefined {
    const slots = this.#slots
    const first = Math.floor(offset / BLOCK)
    const count = Math.floor((offset + length - 1) / BLOCK) - first + 1
    const slot = slots.slotOf(object, first)
    let isOnePiece = true
    for (let i = 0; i < count; i++) {
      const found = slots.slotOf(object, first + i)
      if (found === undefined) return undefined
      slots.touch(found)
      isOnePiece &&= found === slot! + i && slots.isJudged(found)
    }
    if (isOnePiece) return this.#readJudged({ slot: slot!, count, from: offset - first * BLOCK, at, length }, into)
    const pieces = this.#piecesOf(object, offset, at, length)
    const read = pieces.map((piece) =>
      slots.isJudged(piece.slot) ? this.#readJudged(piece, into) : this.#readAndJudge(piece, into),
    )
    return Promise.all(read).then((done) => done.every(Boolean))
  }

  /** Settles when nothing is read any more. */
  idle(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#reading === 0) resolve()
      else this.#ended = resolve
    })
  }

  /** Runs of judged slots that adjoin, and each other slot by itself. */
  #piecesOf(object: string, offset: number, at: number, length: number): ReadonlyArray<Piece> {
    const slots = this.#slots
    const pieces: Array<Piece> = []
    for (let done = 0; done < length; ) {
      const block = Math.floor((offset + done) / BLOCK)
      const from = offset + done - block * BLOCK
      const n = Math.min(BLOCK - from, length - done)
      const slot = slots.slotOf(object, block)!
      const last = pieces.at(-1)
      const goesOn = last !== undefined && slot === last.slot + last.count
      if (goesOn && slots.isJudged(last.slot) && slots.isJudged(slot))
        pieces[pieces.length - 1] = { ...last, count: last.count + 1, length: last.length + n }
      else pieces.push({ slot, count: 1, from, at: at + done, length: n })
      done += n
    }
    return pieces
  }

  #readJudged({ slot, count, from, at, length }: Piece, into: Uint8Array): Promise<boolean> {
    const slots = this.#slots
    const { takings } = slots
    return new Promise((resolve) => {
      this.#fill(slot, from, into, at, length, (isWhole) => {
        let isRight = isWhole
        for (let i = slot; i < slot + count; i++) {
          const isStill = !slots.isTakenSince(i, takings)
          if (isStill && !isWhole) slots.drop(i)
          isRight &&= isStill
        }
        resolve(isRight)
      })
    })
  }

  /** One that is wanted whole is read into the place where it is wanted. */
  #readAndJudge({ slot, from, at, length }: Piece, into: Uint8Array): Promise<boolean> {
    const slots = this.#slots
    const { takings } = slots
    const record = slots.recordIn(slot)!
    const isWanted = length === record.length
    const bytes = isWanted ? into.subarray(at, at + length) : (this.#spare.pop() ?? Buffer.allocUnsafeSlow(BLOCK))
    return new Promise((resolve) => {
      this.#fill(slot, 0, bytes, 0, record.length, (isWhole) => {
        const isStill = !slots.isTakenSince(slot, takings)
        const whole = bytes.subarray(0, record.length)
        const isRight = isStill && isWhole && from + length <= record.length && crc32c(whole) === record.crc
        if (isRight && this.#isOwn) slots.judged(slot)
        if (isRight && !isWanted) into.set(whole.subarray(from, from + length), at)
        if (isStill && !isRight) slots.drop(slot)
        if (!isWanted && this.#spare.length < SPARE_BLOCKS) this.#spare.push(bytes as Buffer)
        resolve(isRight)
      })
    })
  }

  #fill(
    slot: number,
    from: number,
    into: Uint8Array,
    at: number,
    length: number,
    done: (isWhole: boolean) => void,
  ): void {
    const offset = slot * BLOCK + from
    if (readAtOnce(this.#host.readCached, this.#fd, into, at, length, offset) === length) {
      done(true)
      return
    }
    this.#reading++
    read(this.#fd, into, at, length, offset, (error, count) => {
      done(error === null && count === length)
      if (--this.#reading === 0) this.#ended?.()
    })
  }
}
