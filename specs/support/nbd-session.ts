/** A session over a memory device and an array, and requests and replies written as hex. */

import { type Budget, NbdSession } from "../../adapters/nbd/session.ts"
import { Slabs } from "../../core/slab-output.ts"
import { ArrayWire } from "./array-wire.ts"
import { MemoryDevice, type MemoryDeviceOptions } from "./memory-disks.ts"

export interface Setup extends Partial<MemoryDeviceOptions> {
  readonly structured?: boolean
  readonly allocation?: boolean
  readonly budget?: Budget
  readonly slabBytes?: number
}

/** By default a disk of 1 MiB with simple replies. */
export const openSession = (setup: Setup = {}) => {
  const device = new MemoryDevice({ sizeBytes: 1024 * 1024, ...setup })
  const wire = new ArrayWire()
  const ends: Array<string> = []
  const session = new NbdSession({
    device,
    wire,
    slabs: new Slabs(setup.slabBytes ?? 320 * 1024, 4),
    structured: setup.structured ?? false,
    allocation: setup.allocation ?? false,
    ...(setup.budget === undefined ? {} : { budget: setup.budget }),
    ended: (why) => ends.push(why),
  })
  return {
    device,
    wire,
    session,
    ends,
    /** Hands over a chunk, whose memory is used for something else when that returns: so does the buffer that sockets share. */
    feed: (hex: string) => {
      const chunk = Buffer.from(hex, "hex")
      session.receive(chunk)
      chunk.fill(0xee)
    },
  }
}

const hex = (value: number | bigint, bytes: number): string =>
  BigInt(value)
    .toString(16)
    .padStart(bytes * 2, "0")

export const CMD = { read: 0, write: 1, disc: 2, flush: 3, trim: 4, cache: 5, zero: 6, status: 7 } as const
export const FLAG = { fua: 1, noHole: 2, df: 4, one: 8, fast: 16 } as const
export const ERRNO = { perm: 1, io: 5, inval: 22, nospc: 28, overflow: 75, notsup: 95, shutdown: 108 } as const

export const request = (
  type: number,
  offset: number | bigint,
  length: number,
  more: { cookie?: number; flags?: number; payload?: string } = {},
): string =>
  `25609513${hex(more.flags ?? 0, 2)}${hex(type, 2)}${hex(more.cookie ?? 1, 8)}${hex(offset, 8)}${hex(length, 4)}${more.payload ?? ""}`

export const simple = (error: number, cookie = 1, data = ""): string =>
  `67446698${hex(error, 4)}${hex(cookie, 8)}${data}`

export const chunk = (type: number, payload: string, cookie = 1): string =>
  `668e33ef0001${hex(type, 2)}${hex(cookie, 8)}${hex(payload.length / 2, 4)}${payload}`

export const offsetData = (offset: number, data: string, cookie = 1): string => chunk(1, hex(offset, 8) + data, cookie)

/** The errno of the only reply in `bytes`, whichever kind it is. */
export const errorOf = (bytes: Buffer): number => {
  if (bytes.readUInt32BE(0) === 0x67446698) return bytes.readUInt32BE(4)
  return (bytes.readUInt16BE(6) & 0x8000) === 0 ? 0 : bytes.readUInt32BE(20)
}

/** Lets asynchronous requests come to their end. */
export const settle = async (turns = 4): Promise<void> => {
  for (let i = 0; i < turns; i++) await new Promise((resolve) => setImmediate(resolve))
}
