/**
 * What a simulated PC does with its disk: reads as a real boot does, writes to its overlay, leaves, comes back, and verifies all of it.
 *
 * Every byte is compared with what it must be: the sample image, except where this client itself wrote.
 */
import type { TracedRead } from "./boot-trace.ts"
import { choices } from "./sample.ts"
import type { Stages } from "./stages.ts"
import type { DiskClient } from "./wires.ts"

const WRITES = 12
const WRITE_BYTES = 16 * 1024

export interface Simulation {
  readonly name: string
  readonly index: number
  readonly image: Buffer
  /** Reads of its boot. */
  readonly trace: ReadonlyArray<TracedRead>
  readonly disk: DiskClient
  /** Logs in again. */
  readonly again: () => Promise<DiskClient>
  readonly stages: Stages
}

export const simulate = async (s: Simulation): Promise<void> => {
  const { stages, index, image, disk } = s
  const pick = choices(index + 1)
  const expected = new Map<number, Uint8Array>()
  try {
    if (disk.sizeBytes !== image.length)
      stages.mismatch("login", `${s.name}: the disk is ${disk.sizeBytes} bytes long, the image ${image.length}`)
    for (const { offset, length } of s.trace) await check(s, disk, "boot reads", offset, length, expected)
    for (let i = 0; i < WRITES; i++) {
      const offset = aligned(pick, image.length, WRITE_BYTES)
      const bytes = Buffer.alloc(WRITE_BYTES, `${s.name} wrote this at ${offset}; `)
      await stages.time("write", bytes.length, () => disk.write(offset, bytes))
      expected.set(offset, bytes)
    }
    await stages.time("flush", 0, () => disk.flush())
    for (const offset of expected.keys()) await check(s, disk, "read back", offset, WRITE_BYTES, expected)
  } finally {
    await disk.close()
  }
  const again = await stages.time("login again", 0, s.again)
  try {
    for (const offset of expected.keys()) await check(s, again, "own writes kept", offset, WRITE_BYTES, expected)
  } finally {
    await again.close()
  }
}

const aligned = (pick: (below: number) => number, size: number, length: number) =>
  pick(Math.floor((size - length) / WRITE_BYTES) + 1) * WRITE_BYTES

const check = async (
  s: Simulation,
  disk: DiskClient,
  stage: string,
  offset: number,
  length: number,
  expected: ReadonlyMap<number, Uint8Array>,
) => {
  const got = await s.stages.time(stage, length, () => disk.read(offset, length))
  if (Buffer.compare(wanted(s.image, offset, length, expected), got) !== 0)
    s.stages.mismatch(stage, `${s.name}: bytes ${offset} to ${offset + length - 1} are not what they must be`)
}

const wanted = (image: Buffer, offset: number, length: number, expected: ReadonlyMap<number, Uint8Array>): Buffer => {
  const unchanged = image.subarray(offset, offset + length)
  if (expected.size === 0) return unchanged
  const want = Buffer.from(unchanged)
  for (const [at, bytes] of expected) {
    const from = Math.max(at, offset)
    const to = Math.min(at + bytes.length, offset + length)
    if (from < to) want.set(bytes.subarray(from - at, to - at), from - offset)
  }
  return want
}
