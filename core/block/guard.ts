/**
 * The front guard: judges every request before a device sees it, so that no box below needs an `if`.
 *
 * | judged                                            | answer                                   |
 * | ------------------------------------------------- | ---------------------------------------- |
 * | not inside the disk                               | OUT_OF_RANGE with offset and disk size   |
 * | not whole logical blocks, and not `byteGranular`  | OUT_OF_RANGE                             |
 * | longer than `limits.ioBytesMax` (read and write)  | OUT_OF_RANGE; zero and trim may be any length |
 * | write, zero, trim to a device that is not writable | READ_ONLY                               |
 * | after `close`                                     | CLOSED                                   |
 * | signal already aborted                            | CANCELLED                                |
 * | no bytes at all, inside the disk                  | done, without asking the device          |
 * | outside the caller's own buffer; unknown flags    | AssertionError: a programmer's mistake   |
 *
 * **Details** Judging allocates nothing. Offsets may lie above 2^31, where JavaScript's `%` is a slow call; a logical block is a
 * power of two, so alignment is `& (block - 1)`, which is exact for every exact integer.
 *
 * **Gotchas** The buffer bounds matter: `Buffer.copy` below shortens silently what does not fit.
 */
import assert from "node:assert"
import { fail } from "../errors.ts"
import { limits } from "../limits.ts"
import { type BlockDevice, type Extent, FAST_ONLY, FUA, MAY_UNMAP, type Unlock } from "./device.ts"
import { Through } from "./through.ts"

/** Puts the guard in front of a device. `firstRead` is called once, at the first read of any bytes; a read costs one comparison more for it. */
export const guardDevice = (device: BlockDevice, firstRead?: () => void): BlockDevice => new Guard(device, firstRead)

const nothing = () => {}

class Guard extends Through {
  #firstRead: (() => void) | undefined
  #closing: Promise<void> | undefined = undefined
  #closed = false

  constructor(device: BlockDevice, firstRead: (() => void) | undefined) {
    super(device)
    const block = device.logicalBlockBytes
    assert(block > 0 && (block & (block - 1)) === 0, "a logical block is a power of two")
    this.#firstRead = firstRead
  }

  override readSync(into: Uint8Array, at: number, offset: number, length: number): boolean {
    this.#range(offset, length, limits.ioBytesMax)
    this.#buffer(into, at, length)
    if (length === 0) return true
    if (this.#firstRead !== undefined) this.#noticeRead()
    return this.device.readSync(into, at, offset, length)
  }

  override async read(
    into: Uint8Array,
    at: number,
    offset: number,
    length: number,
    signal?: AbortSignal,
  ): Promise<void> {
    this.#range(offset, length, limits.ioBytesMax)
    this.#buffer(into, at, length)
    this.#signal(signal)
    if (length === 0) return
    if (this.#firstRead !== undefined) this.#noticeRead()
    await this.device.read(into, at, offset, length, signal)
  }

  override writeSync(from: Uint8Array, at: number, offset: number, length: number, flags: number): boolean {
    this.#range(offset, length, limits.ioBytesMax)
    this.#change(offset, length, flags, FUA)
    this.#buffer(from, at, length)
    return length === 0 || this.device.writeSync(from, at, offset, length, flags)
  }

  override async write(
    from: Uint8Array,
    at: number,
    offset: number,
    length: number,
    flags: number,
    signal?: AbortSignal,
  ): Promise<void> {
    this.#range(offset, length, limits.ioBytesMax)
    this.#change(offset, length, flags, FUA)
    this.#buffer(from, at, length)
    this.#signal(signal)
    if (length > 0) await this.device.write(from, at, offset, length, flags, signal)
  }

  override zeroSync(offset: number, length: number, flags: number): boolean {
    this.#range(offset, length, this.device.sizeBytes)
    this.#change(offset, length, flags, FUA | MAY_UNMAP | FAST_ONLY)
    return length === 0 || this.device.zeroSync(offset, length, flags)
  }

  override async zero(offset: number, length: number, flags: number, signal?: AbortSignal): Promise<void> {
    this.#range(offset, length, this.device.sizeBytes)
    this.#change(offset, length, flags, FUA | MAY_UNMAP | FAST_ONLY)
    this.#signal(signal)
    if (length > 0) await this.device.zero(offset, length, flags, signal)
  }

  override async trim(offset: number, length: number, flags: number, signal?: AbortSignal): Promise<void> {
    this.#range(offset, length, this.device.sizeBytes)
    this.#change(offset, length, flags, FUA)
    this.#signal(signal)
    if (length > 0) await this.device.trim(offset, length, flags, signal)
  }

  override async flush(signal?: AbortSignal): Promise<void> {
    this.#open()
    this.#signal(signal)
    await this.device.flush(signal)
  }

  override async extents(
    offset: number,
    length: number,
    max: number,
    signal?: AbortSignal,
  ): Promise<ReadonlyArray<Extent>> {
    assert(max >= 1, "at least one extent is asked for")
    this.#range(offset, length, this.device.sizeBytes)
    this.#signal(signal)
    return length === 0 ? [] : this.device.extents(offset, length, max, signal)
  }

  override async prefetch(offset: number, length: number, signal?: AbortSignal): Promise<void> {
    this.#range(offset, length, this.device.sizeBytes)
    this.#signal(signal)
    if (length > 0) await this.device.prefetch(offset, length, signal)
  }

  override async lock(offset: number, length: number, signal?: AbortSignal): Promise<Unlock> {
    this.#range(offset, length, this.device.sizeBytes)
    this.#signal(signal)
    return length === 0 ? nothing : this.device.lock(offset, length, signal)
  }

  override close(): Promise<void> {
    this.#closed = true
    this.#closing ??= this.device.close()
    return this.#closing
  }

  #noticeRead(): void {
    const firstRead = this.#firstRead!
    this.#firstRead = undefined
    firstRead()
  }

  #open(): void {
    if (this.#closed) throw fail("CLOSED", { what: "the disk" })
  }

  #range(offset: number, length: number, lengthMax: number): void {
    this.#open()
    const device = this.device
    const size = device.sizeBytes
    // Written so that NaN and Infinity fail as well.
    if (!(offset >= 0 && length >= 0 && length <= lengthMax && offset + length <= size)) {
      throw fail("OUT_OF_RANGE", { offset, length, sizeBytes: size })
    }
    if (!device.features.byteGranular && ((offset | length) & (device.logicalBlockBytes - 1)) !== 0) {
      throw fail("OUT_OF_RANGE", { offset, length, sizeBytes: size, what: "not whole logical blocks" })
    }
    assert(Number.isSafeInteger(offset) && Number.isSafeInteger(length), "offsets and lengths are whole bytes")
  }

  #change(offset: number, length: number, flags: number, known: number): void {
    if (!this.device.features.writable) throw fail("READ_ONLY", { offset, length })
    assert((flags & ~known) === 0, "no unknown flag")
  }

  #buffer(bytes: Uint8Array, at: number, length: number): void {
    assert(at >= 0 && at + length <= bytes.length, "the request fits the caller's buffer")
  }

  #signal(signal: AbortSignal | undefined): void {
    if (signal?.aborted) throw fail("CANCELLED", { what: "the request" })
  }
}
