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

export class PieceCache {
  readonly #limits: PieceLimits
  /** Least used first. */
  readonly #pieces = new Map<string, Promise<Uint8Array>>()

  constructor(limits: PieceLimits) {
    this.#limits = limits
  }

  get size(): number {
    return this.#pieces.size
  }

  /** Exactly `length` bytes of the file, which nobody writes to again. */
  async read(file: PieceFile, offset: number, length: number): Promise<Uint8Array> {
    const { pieceBytes } = this.#limits
    const first = Math.floor(offset / pieceBytes)
    const last = Math.max(first, Math.floor((offset + length - 1) / pieceBytes))
    const pieces: Array<Uint8Array> = []
    for (let n = first; n <= last; n++) pieces.push(await this.#piece(file, n))
    // A failure is told to whoever needs the piece.
    this.#piece(file, last + 1).catch(() => {})
    const from = offset - first * pieceBytes
    const [only] = pieces
    if (only !== undefined && pieces.length === 1) return only.subarray(from, from + length)
    return Buffer.concat(pieces).subarray(from, from + length)
  }

  #piece(file: PieceFile, n: number): Promise<Uint8Array> {
    const { pieceBytes, bytesMax } = this.#limits
    const length = Math.min(pieceBytes, file.sizeBytes - n * pieceBytes)
    if (length <= 0) return Promise.resolve(new Uint8Array(0))
    const key = `${n} ${file.identity}`
    const piece = this.#pieces.get(key) ?? file.load(n * pieceBytes, length)
    this.#pieces.delete(key)
    this.#pieces.set(key, piece)
    piece.catch(() => this.#pieces.get(key) === piece && this.#pieces.delete(key))
    if (this.#pieces.size * pieceBytes > bytesMax) this.#pieces.delete(this.#pieces.keys().next().value!)
    return piece
  }
}
