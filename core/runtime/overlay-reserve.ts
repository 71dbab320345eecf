/**
 * The reserve of disk space for super clients: once free space falls under it, other overlays get no more, so that a week of an administrator's
 * work does not end because a hundred clients filled the disk.
 *
 * **Details** Free space is looked up a while after something was written, or after much was, and never while a write waits. In between
 * the last answer holds, so up to `reserveLookBytes` and what a second brings may go past the reserve. It is given free again a sixteenth above, so
 * that a disk at the edge does not fill the server's log.
 *
 * Where the disk cannot tell, nothing is reserved.
 */
import type { SharedSpace } from "../block/overlay/quota.ts"
import { limits } from "../limits.ts"
import type { DiskSpace } from "./data-files.ts"

export interface ReserveCrossed {
  /** Under the reserve now, or above it again. */
  readonly reserved: boolean
  readonly freeBytes: number
  readonly reserveBytes: number
}

export interface OverlayReserveOptions {
  /** Undefined: a share of the disk. */
  readonly reserveBytes: () => number | undefined
  readonly space: () => Promise<DiskSpace | undefined>
  /** Calls back after some time, unless it is called off. */
  readonly later: (run: () => void, millis: number) => () => void
  readonly onCrossed: (crossed: ReserveCrossed) => void
}

/** Of a disk of that size. */
export const reserveBytesDefault = (sizeBytes: number): number =>
  Math.floor(Math.min(sizeBytes * limits.reserveShareDefault, limits.reserveBytesDefaultMax))

export class OverlayReserve implements SharedSpace {
  reserved = false
  readonly #options: OverlayReserveOptions
  #countedBytes = 0
  #looking: Promise<void> | undefined
  #callOff: (() => void) | undefined
  #closed = false

  constructor(options: OverlayReserveOptions) {
    this.#options = options
  }

  count(bytes: number): void {
    this.#countedBytes += bytes
    if (this.#countedBytes >= limits.reserveLookBytes) void this.look()
    else if (this.#callOff === undefined) this.#lookLater()
  }

  /** Looks the free space up; one look at a time. */
  look(): Promise<void> {
    this.#countedBytes = 0
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined
    })
    return this.#looking
  }

  close(): void {
    this.#closed = true
    this.#callOff?.()
  }

  #lookLater(): void {
    if (this.#closed) return
    this.#callOff = this.#options.later(() => {
      this.#callOff = undefined
      void this.look()
    }, limits.reserveLookMillis)
  }

  async #look(): Promise<void> {
    const space = await this.#options.space().catch(() => undefined)
    if (space === undefined) return
    const { freeBytes } = space
    const reserveBytes = this.#options.reserveBytes() ?? reserveBytesDefault(space.sizeBytes)
    const reserved = freeBytes < (this.reserved ? reserveBytes + reserveBytes / 16 : reserveBytes)
    if (reserved === this.reserved) return
    this.reserved = reserved
    this.#options.onCrossed({ reserved, freeBytes, reserveBytes })
  }
}
