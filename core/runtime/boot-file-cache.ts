/**
 * The last read pieces of boot files, shared by all who fetch them: when a room is switched on, everybody asks for the same few files at once.
 *
 * **Details** A piece is read once however many wait for it, and the next one is read ahead, because a TFTP client waits for nothing else. What was used longest
 * ago goes first. A file is known by its inode, size and time of change, so that a changed file is another one. A piece that could not be read is not kept.
 */
export interface PieceFile {
  /** Equal for the same bytes only. */
  readonly identity: string
  readonly sizeBytes: number
  /** Exactly so many bytes, fresh. */
  readonly load: (offset: number, length: number) => Promise<Uint8Array>
}

export interface PieceLimits {
  readonly pieceBytes: number
  /** All pieces together; those that are being read count whole. */
  readonly bytesMax: number
}

interface Piece {
  readonly loading: Promise<Uint8Array>
  /** Once it is there. */
  bytes: Uint8Array | undefined
}

export class PieceCache {
  readonly #limits: PieceLimits
  /** Least used first. */
  readonly #pieces = new Map<string, Piece>()

  constructor(limits: PieceLimits) {
    this.#limits = limits
  }

  get size(): number {
    return this.#pieces.size
  }

  /** At least so many bytes, and the rest of the last piece if they lie in one; undefined where they must be waited for. */
  readNow(file: PieceFile, offset: number, least: number): Uint8Array | undefined {
    const [first, last] = this.#span(offset, least)
    const pieces: Array<Uint8Array> = []
    for (let n = first; n <= last; n++) {
      const bytes = this.#pieces.get(keyOf(file, n))?.bytes
      if (bytes === undefined) return undefined
      pieces.push(bytes)
    }
    for (let n = first; n <= last + 1; n++) this.#ahead(file, n)
    const from = offset - first * this.#limits.pieceBytes
    return first === last ? pieces[0]!.subarray(from) : joined(pieces, from, least)
  }

  /** Exactly `length` bytes of the file, which nobody writes to again. */
  async read(file: PieceFile, offset: number, length: number): Promise<Uint8Array> {
    const [first, last] = this.#span(offset, length)
    const pieces: Array<Uint8Array> = []
    for (let n = first; n <= last; n++) pieces.push(await this.#piece(file, n))
    this.#ahead(file, last + 1)
    const from = offset - first * this.#limits.pieceBytes
    return first === last ? pieces[0]!.subarray(from, from + length) : joined(pieces, from, length)
  }

  #span(offset: number, length: number): readonly [first: number, last: number] {
    const { pieceBytes } = this.#limits
    const first = Math.floor(offset / pieceBytes)
    return [first, Math.max(first, Math.floor((offset + length - 1) / pieceBytes))]
  }

  /** A failure is told to whoever needs the piece. */
  #ahead(file: PieceFile, n: number): void {
    this.#piece(file, n).catch(() => {})
  }

  #piece(file: PieceFile, n: number): Promise<Uint8Array> {
    const { pieceBytes, bytesMax } = this.#limits
    const length = Math.min(pieceBytes, file.sizeBytes - n * pieceBytes)
    if (length <= 0) return nothing
    const key = keyOf(file, n)
    const piece = this.#pieces.get(key) ?? this.#load(key, file.load(n * pieceBytes, length))
    this.#pieces.delete(key)
    this.#pieces.set(key, piece)
    if (this.#pieces.size * pieceBytes > bytesMax) this.#pieces.delete(this.#pieces.keys().next().value!)
    return piece.loading
  }

  #load(key: string, loading: Promise<Uint8Array>): Piece {
    const piece: Piece = { loading, bytes: undefined }
    loading.then(
      (bytes) => {
        piece.bytes = bytes
      },
      () => this.#pieces.get(key) === piece && this.#pieces.delete(key),
    )
    return piece
  }
}

/** A copy of no more than what was asked for: whole pieces would be a hundred times that. */
const joined = (pieces: ReadonlyArray<Uint8Array>, from: number, length: number): Uint8Array => {
  const bytes = Buffer.allocUnsafe(length)
  let done = 0
  for (const [i, piece] of pieces.entries()) {
    const part = piece.subarray(i === 0 ? from : 0).subarray(0, length - done)
    bytes.set(part, done)
    done += part.length
  }
  return bytes
}

const nothing = Promise.resolve(new Uint8Array(0))

const keyOf = ({ identity }: PieceFile, n: number): string => `${n} ${identity}`
