/**
 * Disks in memory for specs: a BlockDevice over one buffer, and a `Disks` that leases them.
 *
 * **Details** A device may miss its synchronous door at random (`missRate`, seeded), hold its asynchronous requests until a spec lets them
 * go (`hold`, `letGo`), and fail on purpose (`failNext`). It knows which grains were written, so that extents mean something.
 */
import {
  type BlockDevice,
  type BlockFeatures,
  type DeviceChange,
  type Extent,
  FAST_ONLY,
} from "../../core/block/device.ts"
import type { DiskName, Disks, Ending, Lease, Peer } from "../../core/block/lease.ts"
import { fail, type ImagelinkError } from "../../core/errors.ts"

/** A small seeded generator (mulberry32): the same seed gives the same numbers everywhere. */
export const seeded = (seed: number): (() => number) => {
  let a = seed >>> 0
  return () => {
    a = (a + 0x6d2b79f5) >>> 0
    let t = Math.imul(a ^ (a >>> 15), 1 | a)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

export interface MemoryDeviceOptions {
  readonly id?: string
  readonly sizeBytes: number
  readonly features?: Partial<BlockFeatures>
  /** How often the synchronous door misses, 0 to 1. */
  readonly missRate?: number
  readonly seed?: number
  readonly grainBytes?: number
  readonly physicalBlockBytes?: number
}

export interface Call {
  readonly op: "read" | "write" | "zero" | "trim" | "flush" | "extents" | "prefetch"
  readonly sync: boolean
  readonly offset: number
  readonly length: number
  readonly flags: number
}

export class MemoryDevice implements BlockDevice {
  readonly id: string
  readonly sizeBytes: number
  readonly logicalBlockBytes = 512
  readonly physicalBlockBytes: number
  readonly optimalIoBytes = 65536
  readonly features: BlockFeatures
  readonly bytes: Buffer
  /** What was asked, in order; kept only when `recording`. */
  readonly calls: Array<Call> = []
  recording = false
  closed = false
  private readonly grainBytes: number
  private readonly written: Uint8Array
  private readonly missRate: number
  private readonly random: () => number
  private gate: Promise<void> | undefined
  private open: (() => void) | undefined
  private failures: Array<ImagelinkError> = []

  constructor(options: MemoryDeviceOptions) {
    this.id = options.id ?? "memory"
    this.sizeBytes = options.sizeBytes
    this.features = {
      byteGranular: false,
      writable: true,
      durable: false,
      trim: true,
      fastZero: true,
      ...options.features,
    }
    this.bytes = Buffer.alloc(options.sizeBytes)
    this.grainBytes = options.grainBytes ?? 4096
    this.physicalBlockBytes = options.physicalBlockBytes ?? 4096
    this.written = new Uint8Array(Math.ceil(options.sizeBytes / this.grainBytes))
    this.missRate = options.missRate ?? 0
    this.random = seeded(options.seed ?? 1)
  }

  /** Asynchronous requests wait until `letGo`. */
  hold(): void {
    this.gate ??= new Promise((resolve) => {
      this.open = resolve
    })
  }
  letGo(): void {
    this.open?.()
    this.gate = undefined
  }
  /** The next request, through whichever door, fails with this. */
  failNext(e: ImagelinkError): void {
    this.failures.push(e)
  }
  /** Puts bytes there as a write would, without being asked. */
  put(offset: number, bytes: Uint8Array): void {
    this.bytes.set(bytes, offset)
    this.mark(offset, bytes.length, 1)
  }

  readSync(into: Uint8Array, at: number, offset: number, length: number): boolean {
    if (this.enter("read", true, offset, length, 0)) return false
    this.bytes.copy(into, at, offset, offset + length)
    return true
  }
  async read(into: Uint8Array, at: number, offset: number, length: number, signal?: AbortSignal): Promise<void> {
    await this.enterLater("read", offset, length, 0, signal)
    this.bytes.copy(into, at, offset, offset + length)
  }
  writeSync(from: Uint8Array, at: number, offset: number, length: number, flags: number): boolean {
    if (this.enter("write", true, offset, length, flags)) return false
    this.store(from, at, offset, length)
    return true
  }
  async write(from: Uint8Array, at: number, offset: number, length: number, flags: number): Promise<void> {
    await this.enterLater("write", offset, length, flags)
    this.store(from, at, offset, length)
  }
  zeroSync(offset: number, length: number, flags: number): boolean {
    if (this.enter("zero", true, offset, length, flags)) return false
    this.clear(offset, length, flags)
    return true
  }
  async zero(offset: number, length: number, flags: number): Promise<void> {
    await this.enterLater("zero", offset, length, flags)
    this.clear(offset, length, flags)
  }
  async trim(offset: number, length: number, flags: number): Promise<void> {
    await this.enterLater("trim", offset, length, flags)
    this.clear(offset, length, 0)
  }
  async flush(): Promise<void> {
    await this.enterLater("flush", 0, 0, 0)
  }
  async extents(offset: number, length: number, max: number): Promise<ReadonlyArray<Extent>> {
    await this.enterLater("extents", offset, length, 0)
    const extents: Array<{ offset: number; length: number; kind: "data" | "zero" }> = []
    for (let at = offset; at < offset + length; ) {
      const grain = Math.floor(at / this.grainBytes)
      const end = Math.min((grain + 1) * this.grainBytes, offset + length)
      const kind = this.written[grain] ? "data" : "zero"
      const last = extents.at(-1)
      if (last?.kind === kind) last.length += end - at
      else if (extents.length === max) break
      else extents.push({ offset: at, length: end - at, kind })
      at = end
    }
    return extents
  }
  async prefetch(offset: number, length: number): Promise<void> {
    await this.enterLater("prefetch", offset, length, 0)
  }
  async lock(): Promise<() => void> {
    return () => undefined
  }
  onChange(_listener: (change: DeviceChange) => void): () => void {
    return () => undefined
  }
  async close(): Promise<void> {
    this.closed = true
  }

  /** True: miss. */
  private enter(op: Call["op"], sync: boolean, offset: number, length: number, flags: number): boolean {
    if (sync && (this.gate !== undefined || (this.missRate > 0 && this.random() < this.missRate))) return true
    if (this.recording) this.calls.push({ op, sync, offset, length, flags })
    const failure = this.failures.shift()
    if (failure !== undefined) throw failure
    if (this.closed) throw fail("CLOSED", { what: this.id })
    return false
  }
  private async enterLater(op: Call["op"], offset: number, length: number, flags: number, signal?: AbortSignal) {
    await (this.gate ?? new Promise((resolve) => setImmediate(resolve)))
    if (signal?.aborted) throw fail("CANCELLED", { what: "the read" })
    this.enter(op, false, offset, length, flags)
  }
  private store(from: Uint8Array, at: number, offset: number, length: number): void {
    if (!this.features.writable) throw fail("READ_ONLY", { offset, length })
    this.bytes.set(from.subarray(at, at + length), offset)
    this.mark(offset, length, 1)
  }
  private clear(offset: number, length: number, flags: number): void {
    if (flags & FAST_ONLY && !this.features.fastZero) throw fail("NOT_SUPPORTED", { offset, length })
    this.bytes.fill(0, offset, offset + length)
    const from = Math.ceil(offset / this.grainBytes)
    const to = Math.floor((offset + length) / this.grainBytes)
    if (to > from) this.written.fill(0, from, to)
  }
  private mark(offset: number, length: number, value: number): void {
    this.written.fill(value, Math.floor(offset / this.grainBytes), Math.ceil((offset + length) / this.grainBytes))
  }
}

interface Disk {
  readonly name: string
  readonly device: BlockDevice
  readonly description: string
  readonly listeners: Set<(ending: Ending) => void>
  leases: number
}

/** Exports by name: `client/PC-001/0`, `image/win11@3`. */
export class MemoryDisks implements Disks {
  readonly disks = new Map<string, Disk>()
  attached: Array<{ readonly name: string; readonly peer: Peer }> = []
  /** While set, attaching waits for it. */
  gate: Promise<void> | undefined
  /** While set, attaching fails with it. */
  refusal: ImagelinkError | undefined
  private changes = 0

  add(name: string, device: BlockDevice, description = `memory behind ${name}`): this {
    this.changes++
    this.disks.set(name.toLowerCase(), { name, device, description, listeners: new Set(), leases: 0 })
    return this
  }
  leases(name: string): number {
    return this.disks.get(name.toLowerCase())?.leases ?? 0
  }
  /** Takes the disk away under its sessions. */
  revoke(name: string): void {
    const disk = this.disks.get(name.toLowerCase())!
    this.remove(name)
    for (const listener of disk.listeners) listener("revoked")
  }
  /** Takes the disk off the list; whoever has it keeps it. */
  remove(name: string): void {
    this.changes++
    this.disks.delete(name.toLowerCase())
  }

  async attach(client: string, slot: number, _boot: string | undefined, peer: Peer): Promise<Lease> {
    const lease = await this.lease(`client/${client}/${slot}`, peer)
    if (lease === undefined) throw fail("CLIENT_NOT_FOUND", { client })
    return lease
  }
  async attachImage(image: string, version: number | undefined, peer: Peer): Promise<Lease> {
    const lease = await this.lease(`image/${image}${version === undefined ? "" : `@${version}`}`, peer)
    if (lease === undefined) throw fail("IMAGE_NOT_FOUND", { name: image })
    return lease
  }
  list(_peer: Peer): ReadonlyArray<DiskName> {
    return [...this.disks.values()].map((d) => ({ name: d.name, description: d.description }))
  }

  epoch(): number {
    return this.changes
  }

  private async lease(name: string, peer: Peer): Promise<Lease | undefined> {
    await this.gate
    if (this.refusal !== undefined) throw this.refusal
    const disk = this.disks.get(name.toLowerCase())
    if (disk === undefined) return undefined
    this.attached.push({ name, peer })
    disk.leases++
    let held = true
    return {
      device: disk.device,
      description: disk.description,
      onRevoked: (listener) => {
        disk.listeners.add(listener)
        return () => disk.listeners.delete(listener)
      },
      release: async () => {
        if (held) disk.leases--
        held = false
      },
    }
  }
}
