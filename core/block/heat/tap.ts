/**
 * The version under one client's overlay, where what the client reads of it is counted, and recordings see it; what the overlay holds itself never comes here.
 *
 *     overlay ─► heat tap ─► version            recording: of this client's boot, of windows over all clients of the image
 *                                               read-ahead: of a boot over something slow
 *
 * **Details** While nothing is recorded, a read costs one comparison more. With a recording on, a hit still makes no promise and allocates nothing, but
 * for what reading ahead starts.
 */
import type { BlockDevice } from "../device.ts"
import { Through } from "../through.ts"
import type { ReadAhead } from "./read-ahead.ts"
import type { HeatRecording, HeatSource } from "./recording.ts"

const NONE: ReadonlyArray<HeatRecording> = []

/** Bytes that were read here since it was made: answered at once, or waited for. */
export interface BaseReads {
  readonly hitBytes: number
  readonly missBytes: number
}

const HIT = 0
const MISS = 1

export class HeatTap extends Through<BlockDevice & HeatSource> implements BaseReads {
  #recordings: ReadonlyArray<HeatRecording> = NONE
  #ahead: ReadAhead | undefined = undefined
  #isOn = false
  /** A typed array, because a sum that outgrows a small integer is not to be made anew by each read. */
  readonly #bytes = new Float64Array(2)

  get hitBytes(): number {
    return this.#bytes[HIT]!
  }
  get missBytes(): number {
    return this.#bytes[MISS]!
  }

  /** From now on the recording sees what is read here. */
  record(recording: HeatRecording): void {
    if (!this.#recordings.includes(recording)) this.#recordings = [...this.#recordings, recording]
    this.#isOn = true
  }

  /** It sees nothing more. */
  leave(recording: HeatRecording): void {
    this.#recordings = this.#recordings.filter((other) => other !== recording)
    this.#isOn = this.#recordings.length > 0 || this.#ahead !== undefined
  }

  /** Reads ahead of this client, or no more. */
  follow(ahead: ReadAhead | undefined): void {
    this.#ahead?.stop()
    this.#ahead = ahead
    this.#isOn = this.#recordings.length > 0 || ahead !== undefined
  }

  override readSync(into: Uint8Array, at: number, offset: number, length: number): boolean {
    if (this.#isOn) this.#touch(offset, length)
    if (!this.device.readSync(into, at, offset, length)) return false
    this.#bytes[HIT]! += length
    return true
  }

  override read(into: Uint8Array, at: number, offset: number, length: number, signal?: AbortSignal): Promise<void> {
    if (this.#isOn) this.#touch(offset, length)
    this.#bytes[MISS]! += length
    const asked = this.device.read(into, at, offset, length, signal)
    return this.#ahead === undefined ? asked : this.#ahead.timed(asked)
  }

  #touch(offset: number, length: number): void {
    const recordings = this.#recordings
    for (let i = 0; i < recordings.length; i++) recordings[i]!.touch(this.device, offset, length)
    this.#ahead?.touch(offset, length)
  }
}
