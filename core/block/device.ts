/**
 * The one shape of the data plane: every box takes a BlockDevice and is one.
 *
 *     protocol ─► guard ─► overlay ─► version ─► cache ─► format ─► guard ─► storage plugin
 *
 * **The two doors.** Each of read, write and zero has a synchronous door and an asynchronous one. The synchronous door does
 * the whole request now and answers `true`, or does nothing at all and answers `false` ("a miss: ask the other door"), or
 * throws. It allocates nothing on success. The asynchronous door always does the request. A caller tries the first, then the second.
 *
 * **Bytes.** Offsets and lengths are bytes and exact numbers (an image has at most 2^46 bytes). A front end has already
 * judged the request (guard.ts): every box below may assume `0 <= offset`, `0 < length`, `offset + length <= sizeBytes`, and both
 * multiples of `logicalBlockBytes` unless `features.byteGranular`.
 *
 * **Buffers.** `into` and `from` belong to the box from the call until it returns (synchronous) or settles (asynchronous);
 * afterwards the caller may use them for anything. A box never keeps a reference.
 *
 * **Order.** Requests in flight at once may be carried out in any order, except that they never tear each other: two overlapping
 * writes leave one or the other in each logical block. `flush` covers every write that completed before it was called, by any session.
 *
 * **Errors** are `ImagelinkError`s: IO_ERROR, MEDIUM_ERROR, NO_SPACE, READ_ONLY, NOT_SUPPORTED, OUT_OF_RANGE, OVERLAY_RETIRED, CLOSED,
 * CANCELLED. `offset` on the error is the first byte it concerns. After an error of a write the range holds old or new bytes, block by block.
 *
 * **Gotchas** A box may omit nothing: a layer that forwards what it does not understand corrupts disks. Only plugins may
 * leave methods out (core/storage), and the rear guard completes them.
 */

/** Bits of a write or zero request. */
export const FUA = 1
/** zero: the space may be given back. Reads must still answer zeros. */
export const MAY_UNMAP = 2
/** zero: fail at once with NOT_SUPPORTED if it is not faster than writing zeros. */
export const FAST_ONLY = 4

export type ExtentKind = "data" | "zero" | "absent"

/** A run of bytes that is `data`, `zero` (reads as zeros) or `absent` (nothing here; what lies below shows through). */
export interface Extent {
  readonly offset: number
  readonly length: number
  readonly kind: ExtentKind
}

export interface BlockFeatures {
  /** Requests need not be multiples of logicalBlockBytes. */
  readonly byteGranular: boolean
  readonly writable: boolean
  /** `flush` and FUA mean something: what they cover survives a power loss. False: they succeed and promise no more than a write does. */
  readonly durable: boolean
  /** `trim` gives something back, or at least makes the range read as zeros. */
  readonly trim: boolean
  /** `zero` is fast for aligned ranges. */
  readonly fastZero: boolean
}

export interface BlockDevice {
  /** Stable identity of the bytes: equal for two openings of the same disk, different after a reset. */
  readonly id: string
  readonly sizeBytes: number
  readonly logicalBlockBytes: number
  readonly physicalBlockBytes: number
  /** The unit in which requests run best; a power of two. */
  readonly optimalIoBytes: number
  readonly features: BlockFeatures

  readSync(into: Uint8Array, at: number, offset: number, length: number): boolean
  read(into: Uint8Array, at: number, offset: number, length: number, signal?: AbortSignal): Promise<void>

  writeSync(from: Uint8Array, at: number, offset: number, length: number, flags: number): boolean
  write(
    from: Uint8Array,
    at: number,
    offset: number,
    length: number,
    flags: number,
    signal?: AbortSignal,
  ): Promise<void>

  /** Makes a range read as zeros. `flags`: FUA, MAY_UNMAP, FAST_ONLY. */
  zeroSync(offset: number, length: number, flags: number): boolean
  zero(offset: number, length: number, flags: number, signal?: AbortSignal): Promise<void>

  /** The client no longer needs these bytes. Whole grains read as zeros afterwards; the rest may keep its bytes. `flags`: FUA. */
  trim(offset: number, length: number, flags: number, signal?: AbortSignal): Promise<void>

  flush(signal?: AbortSignal): Promise<void>

  /** The extents that cover `[offset, offset + length)` from its start on, adjoining, at most `max` of them (so perhaps not to its end). */
  extents(offset: number, length: number, max: number, signal?: AbortSignal): Promise<ReadonlyArray<Extent>>

  /** Hint: this range will be read soon. Settles when it has been brought closer, or at once. */
  prefetch(offset: number, length: number, signal?: AbortSignal): Promise<void>

  /** Holds a range for one caller (COMPARE AND WRITE). Waits for other holders; plain reads and writes do not wait for it. */
  lock(offset: number, length: number, signal?: AbortSignal): Promise<Unlock>

  /** Called when `sizeBytes` changed or the box began to serve other bytes. Answers how to stop listening. */
  onChange(listener: (change: DeviceChange) => void): () => void

  /** Waits for requests in flight, then lets go. A second close is the first. */
  close(): Promise<void>
}

export type Unlock = () => void
export type DeviceChange = "capacity" | "media"
