/**
 * One simulated PC: opens its own disk over the wire, verifies what it reads, writes to its overlay, and verifies that too.
 *
 * Every byte is compared with what it must be: the sample image, except where this client itself wrote.
 */
import { choices } from "./sample.ts"
import type { Stages } from "./stages.ts"

/** What the demo needs of a block protocol's client; the composition root brings it. */
export interface DiskClient {
  readonly sizeBytes: number
  read(offset: number, length: number): Promise<Uint8Array>
  write(offset: number, bytes: Uint8Array): Promise<void>
  flush(): Promise<void>
  close(): Promise<void>
}

const READS = 24
const READ_BYTES = 64 * 1024
const WRITES = 12
const WRITE_BYTES = 16 * 1024
const SECTOR = 512

export interface Simulation {
  readonly name: string
  readonly index: number
  readonly image: Buffer
  readonly open: (name: string) => Promise<DiskClient>
  readonly stages: Stages
}

export const simulate = async (s: Simulation): Promise<void> => {
  const { stages, index, image } = s
  const pick = choices(index + 1)
  const expected = new Map<number, Uint8Array>()
  const disk = await stages.time("connect", 0, () => s.open(`client/${s.name}/0`))
  try {
    if (disk.sizeBytes !== image.length)
      stages.mismatch("connect", `${s.name}: the disk is ${disk.sizeBytes} bytes long, the image ${image.length}`)
    await check(s, disk, "read", 0, SECTOR, expected)
    for (let i = 0; i < READS; i++)
      await check(s, disk, "read", aligned(pick, image.length, READ_BYTES), READ_BYTES, expected)
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
  const again = await stages.time("reconnect", 0, () => s.open(`client/${s.name}/0`))
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
  const want = Buffer.from(s.image.subarray(offset, offset + length))
  for (const [at, bytes] of expected) {
    const from = Math.max(at, offset)
    const to = Math.min(at + bytes.length, offset + length)
    if (from < to) want.set(bytes.subarray(from - at, to - at), from - offset)
  }
  if (!want.equals(got))
    s.stages.mismatch(stage, `${s.name}: bytes ${offset} to ${offset + length - 1} are not what they must be`)
}
