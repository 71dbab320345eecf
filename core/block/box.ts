/**
 * A box whose device can be swapped while sessions use it: an image moves between tiers, a file is relocated.
 *
 * | request                        | served by                                                        |
 * | ------------------------------ | ---------------------------------------------------------------- |
 * | begun before the swap          | the old device, to its end                                       |
 * | begun after it                 | the new device, at once: a slow old tier holds nobody up         |
 * | synchronous                    | whichever is inside at that moment; the cost is one property read |
 *
 * **Details** `swap` settles when the last request on the old device has ended, and gives it back for the caller to close. Listeners
 * hear `capacity` when the size changed and `media` when the identity did; the same bytes from another place are no news. Locks are
 * the box's own, so that a COMPARE AND WRITE which began before a swap excludes one that began after it.
 *
 * **Gotchas** Requests on both devices overlap for a moment. That is right for read-only versions, which is what moves; a writable
 * device must be quiet before it is swapped.
 */
import type { BlockDevice, DeviceChange, Extent, Unlock } from "./device.ts"
import { InFlight } from "./in-flight.ts"
import { RangeLock } from "./range-lock.ts"
import { Through } from "./through.ts"

export interface SwappableDevice extends BlockDevice {
  /** Serves `next` from now on. Settles when nothing is in flight on the old device any more, and answers it, still open. */
  swap(next: BlockDevice): Promise<BlockDevice>
}

/** Wraps `device` so that it can be swapped. Closing the box closes what is inside then. */
export const swappable = (device: BlockDevice): SwappableDevice => new Box(device)

class Box extends Through implements SwappableDevice {
  #inFlight = new InFlight()
  #unlisten: () => void
  #closing: Promise<void> | undefined = undefined
  readonly #locks = new RangeLock()
  readonly #listeners = new Set<(change: DeviceChange) => void>()

  constructor(device: BlockDevice) {
    super(device)
    this.#unlisten = device.onChange((change) => this.#announce(change))
  }

  async swap(next: BlockDevice): Promise<BlockDevice> {
    const before = this.device
    const leaving = this.#inFlight
    const { id, sizeBytes } = before
    this.#unlisten()
    this.device = next
    this.#inFlight = new InFlight()
    this.#unlisten = next.onChange((change) => this.#announce(change))
    if (next.sizeBytes !== sizeBytes) this.#announce("capacity")
    if (next.id !== id) this.#announce("media")
    await leaving.idle()
    return before
  }

  override read(into: Uint8Array, at: number, offset: number, length: number, signal?: AbortSignal): Promise<void> {
    return this.#counted((d) => d.read(into, at, offset, length, signal))
  }
  override write(
    from: Uint8Array,
    at: number,
    offset: number,
    length: number,
    flags: number,
    signal?: AbortSignal,
  ): Promise<void> {
    return this.#counted((d) => d.write(from, at, offset, length, flags, signal))
  }
  override zero(offset: number, length: number, flags: number, signal?: AbortSignal): Promise<void> {
    return this.#counted((d) => d.zero(offset, length, flags, signal))
  }
  override trim(offset: number, length: number, flags: number, signal?: AbortSignal): Promise<void> {
    return this.#counted((d) => d.trim(offset, length, flags, signal))
  }
  override flush(signal?: AbortSignal): Promise<void> {
    return this.#counted((d) => d.flush(signal))
  }
  override extents(offset: number, length: number, max: number, signal?: AbortSignal): Promise<ReadonlyArray<Extent>> {
    return this.#counted((d) => d.extents(offset, length, max, signal))
  }
  override prefetch(offset: number, length: number, signal?: AbortSignal): Promise<void> {
    return this.#counted((d) => d.prefetch(offset, length, signal))
  }
  override lock(offset: number, length: number, signal?: AbortSignal): Promise<Unlock> {
    return this.#locks.lock(offset, length, signal)
  }

  override onChange(listener: (change: DeviceChange) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  override close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    await this.#inFlight.idle()
    this.#unlisten()
    await this.device.close()
  }

  async #counted<A>(request: (device: BlockDevice) => Promise<A>): Promise<A> {
    const inFlight = this.#inFlight
    inFlight.enter()
    try {
      return await request(this.device)
    } finally {
      inFlight.leave()
    }
  }

  #announce(change: DeviceChange): void {
    for (const listener of [...this.#listeners]) listener(change)
  }
}
