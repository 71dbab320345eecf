/**
 * A disk in front of another one that does nothing itself: what a box changes, it overrides.
 *
 *     meter, guard, tap, swappable box ─► through ─► the disk behind it
 */
import type { BlockDevice, BlockFeatures, DeviceChange, Extent, Unlock } from "./device.ts"

export abstract class Through<Behind extends BlockDevice = BlockDevice> implements BlockDevice {
  protected device: Behind

  constructor(device: Behind) {
    this.device = device
  }

  get id(): string {
    return this.device.id
  }
  get sizeBytes(): number {
    return this.device.sizeBytes
  }
  get logicalBlockBytes(): number {
    return this.device.logicalBlockBytes
  }
  get physicalBlockBytes(): number {
    return this.device.physicalBlockBytes
  }
  get optimalIoBytes(): number {
    return this.device.optimalIoBytes
  }
  get features(): BlockFeatures {
    return this.device.features
  }

  readSync(into: Uint8Array, at: number, offset: number, length: number): boolean {
    return this.device.readSync(into, at, offset, length)
  }
  read(into: Uint8Array, at: number, offset: number, length: number, signal?: AbortSignal): Promise<void> {
    return this.device.read(into, at, offset, length, signal)
  }
  writeSync(from: Uint8Array, at: number, offset: number, length: number, flags: number): boolean {
    return this.device.writeSync(from, at, offset, length, flags)
  }
  write(
    from: Uint8Array,
    at: number,
    offset: number,
    length: number,
    flags: number,
    signal?: AbortSignal,
  ): Promise<void> {
    return this.device.write(from, at, offset, length, flags, signal)
  }
  zeroSync(offset: number, length: number, flags: number): boolean {
    return this.device.zeroSync(offset, length, flags)
  }
  zero(offset: number, length: number, flags: number, signal?: AbortSignal): Promise<void> {
    return this.device.zero(offset, length, flags, signal)
  }
  trim(offset: number, length: number, flags: number, signal?: AbortSignal): Promise<void> {
    return this.device.trim(offset, length, flags, signal)
  }
  flush(signal?: AbortSignal): Promise<void> {
    return this.device.flush(signal)
  }
  extents(offset: number, length: number, max: number, signal?: AbortSignal): Promise<ReadonlyArray<Extent>> {
    return this.device.extents(offset, length, max, signal)
  }
  prefetch(offset: number, length: number, signal?: AbortSignal): Promise<void> {
    return this.device.prefetch(offset, length, signal)
  }
  lock(offset: number, length: number, signal?: AbortSignal): Promise<Unlock> {
    return this.device.lock(offset, length, signal)
  }
  onChange(listener: (change: DeviceChange) => void): () => void {
    return this.device.onChange(listener)
  }
  close(): Promise<void> {
    return this.device.close()
  }
}
