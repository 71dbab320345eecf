/**
 * Blocks on disk: a file of slots and an index, which survive restarts, crashes and rot because nothing in them is believed.
 *
 *     FOLDER/blocks   slot 0 │ slot 1 │ …      64 KiB each; as many as the budget has room for, written when first needed
 *     FOLDER/index    header │ record 0 │ …    which block of which object a slot has, and its CRC-32C
 *
 * **Details** The first read of a slot after a start is judged by its CRC: a block that was torn by a power loss or has rotted is a miss, and is fetched again. From then on it
 * is read as any file is, if the folder is this process's alone (slot-reader.ts); where others may write too, each read is judged. A slot is written before its record, and listed
 * after both; the first write that finds the disk full ends the growth, and from then on blocks take each other's place.
 *
 * **Gotchas** Two processes with one folder stay right, and make each other slow.
 */
import { type FileHandle, mkdir, open } from "node:fs/promises"
import { join } from "node:path"
import { setImmediate } from "node:timers/promises"
import { crc32c, type Host, limits } from "imagelink/plugin"
import type { BlockCache } from "./block-cache.ts"
import {
  decodeRecord,
  encodeHeader,
  encodeRecord,
  HEADER_BYTES,
  isHeader,
  RECORD_BYTES,
  type SlotRecord,
} from "./record.ts"
import { SlotReader } from "./slot-reader.ts"
import { Slots } from "./slots.ts"

const BLOCK = limits.remoteBlockBytes
const TURN_RECORDS = 4096
const slotsIn = (bytesMax: number) => Math.max(1, Math.floor(bytesMax / (BLOCK + RECORD_BYTES)))

export interface DiskCache extends BlockCache {
  /** Makes room for more, if `bytesMax` is more. */
  grow(bytesMax: number): void
  close(): Promise<void>
}

export interface DiskCacheOptions {
  /** No other process has this folder. */
  readonly isOwn: boolean
  readonly host: Host
}

export const openDiskCache = async (
  folder: string,
  bytesMax: number,
  options: DiskCacheOptions,
): Promise<DiskCache> => {
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const index = await openOrMake(join(folder, "index"))
  try {
    const blocks = await openOrMake(join(folder, "blocks"))
    try {
      return new SlotFile(index, blocks, await loadSlots(index, blocks, slotsIn(bytesMax)), options)
    } catch (error) {
      await blocks.close()
      throw error
    }
  } catch (error) {
    await index.close()
    throw error
  }
}

const openOrMake = async (path: string): Promise<FileHandle> => {
  try {
    return await open(path, "r+")
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error
    return open(path, "w+", 0o600)
  }
}

/** An index of another version, or a damaged one, is begun anew; what is past the budget is given back. */
const loadSlots = async (index: FileHandle, blocks: FileHandle, max: number): Promise<Slots> => {
  const slots = new Slots(max)
  const bytes = await index.readFile()
  if (isHeader(bytes)) {
    const count = Math.floor((bytes.length - HEADER_BYTES) / RECORD_BYTES)
    for (let slot = 0; slot < Math.min(count, max); slot++) {
      slots.load(slot, decodeRecord(bytes, HEADER_BYTES + slot * RECORD_BYTES))
      // A large index takes a while, and clients of other images wait for nothing.
      if (slot % TURN_RECORDS === TURN_RECORDS - 1) await setImmediate()
    }
    if (count <= max) return slots
    await index.truncate(HEADER_BYTES + max * RECORD_BYTES)
    await blocks.truncate(max * BLOCK)
    return slots
  }
  await index.truncate(0)
  await blocks.truncate(0)
  await index.write(encodeHeader(), 0, HEADER_BYTES, 0)
  return slots
}

class SlotFile implements DiskCache {
  readonly #index: FileHandle
  readonly #blocks: FileHandle
  readonly #slots: Slots
  readonly #isOwn: boolean
  readonly #reader: SlotReader
  readonly #writing = new Set<Promise<unknown>>()
  #closed = false

  constructor(index: FileHandle, blocks: FileHandle, slots: Slots, options: DiskCacheOptions) {
    this.#index = index
    this.#blocks = blocks
    this.#slots = slots
    this.#isOwn = options.isOwn
    this.#reader = new SlotReader(blocks.fd, slots, options)
  }

  has(object: string, block: number): boolean {
    return this.#slots.slotOf(object, block) !== undefined
  }

  read(object: string, offset: number, into: Uint8Array, at: number, length: number): Promise<boolean> | undefined {
    return this.#closed ? undefined : this.#reader.read(object, offset, into, at, length)
  }

  async put(object: string, block: number, bytes: Uint8Array): Promise<void> {
    if (this.#closed || this.has(object, block)) return
    const slot = this.#slots.take(object, block)
    if (slot === undefined) return
    const writing = this.#write(slot, bytes, { object, block, length: bytes.length, crc: crc32c(bytes) })
    this.#writing.add(writing)
    await writing.finally(() => this.#writing.delete(writing))
  }

  async #write(slot: number, bytes: Uint8Array, record: SlotRecord): Promise<void> {
    try {
      await writeWhole(this.#blocks, bytes, slot * BLOCK)
      await writeWhole(this.#index, encodeRecord(record), HEADER_BYTES + slot * RECORD_BYTES)
      this.#slots.settle(slot, record)
      if (this.#isOwn) this.#slots.judged(slot)
    } catch {
      this.#slots.stopGrowing(slot)
    }
  }

  forget(object: string): void {
    this.#slots.forget(object)
  }

  grow(bytesMax: number): void {
    this.#slots.grow(slotsIn(bytesMax))
  }

  async close(): Promise<void> {
    this.#closed = true
    await Promise.allSettled([...this.#writing])
    await this.#reader.idle()
    await this.#index.close()
    await this.#blocks.close()
  }
}

const writeWhole = async (file: FileHandle, bytes: Uint8Array, position: number): Promise<void> => {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, position + done)
    done += bytesWritten
  }
}
