/** Checks of volumes that can be written: what was written is read, and nothing else has changed. */
import assert from "node:assert/strict"
import type { Volume } from "../../../core/storage/volume.ts"
import { boundaryRanges, randomRanges, same, sampleBytes } from "../support/bytes.ts"
import { guarded, readRange, refusedWith } from "../support/volumes.ts"
import { type StorageCheck, seedOf, withSample } from "./subject.ts"

const READ_ONLY = "the volumes that open answers are read-only"
const notWritable: NonNullable<StorageCheck["skip"]> = ({ plugin, untouchable }) =>
  plugin.manifest.writable ? untouchable : "the manifest says writable: false"

type Writable = Volume & Required<Pick<Volume, "write" | "flush">>
const isWritable = (volume: Volume): volume is Writable => volume.write !== undefined && volume.flush !== undefined

export const writingChecks: ReadonlyArray<StorageCheck> = [
  {
    name: "refuses writes with READ_ONLY where it has no write",
    run: (subject) =>
      withSample(subject, async ({ volume }) => {
        if (volume.write !== undefined) return "the volume has write"
        const guard = guarded(volume, subject.plugin.kind)
        assert.equal(guard.writeSync(new Uint8Array(1), 0, 0, 1), false)
        await refusedWith("READ_ONLY", "a write", () => guard.write(new Uint8Array(1), 0, 0, 1))
        return undefined
      }),
  },
  {
    name: "reads back what was written across every boundary, with the neighbours unchanged",
    skip: notWritable,
    run: (subject) =>
      withSample(subject, async ({ volume, bytes }) =>
        isWritable(volume) ? writesAreRead(volume, bytes.slice(), boundaryRanges(bytes.length)) : READ_ONLY,
      ),
  },
  {
    name: "reads back what 100 random writes left",
    skip: notWritable,
    run: (subject) =>
      withSample(subject, async ({ volume, bytes }) =>
        isWritable(volume)
          ? writesAreRead(volume, bytes.slice(), randomRanges(bytes.length, 100, seedOf(subject)))
          : READ_ONLY,
      ),
  },
  {
    name: "is done with the caller's bytes when a write settles",
    skip: notWritable,
    run: (subject) =>
      withSample(subject, async ({ volume }) => {
        if (!isWritable(volume)) return READ_ONLY
        const from = sampleBytes(4096, { seed: 7 })
        const expected = from.slice()
        await volume.write(from, 0, 8192, from.length)
        from.fill(0)
        await volume.flush()
        same(await readRange(volume, 8192, 4096), expected, "what was written, after the buffer was used again")
        return undefined
      }),
  },
  {
    name: "takes writes to different places at once",
    skip: notWritable,
    run: (subject) =>
      withSample(subject, async ({ volume, bytes }) => {
        if (!isWritable(volume)) return READ_ONLY
        const expected = bytes.slice()
        await Promise.all(
          Array.from({ length: 16 }, (_, i) => {
            expected.fill(i + 1, i * 6000, i * 6000 + 3000)
            return volume.write(new Uint8Array(3000).fill(i + 1), 0, i * 6000, 3000)
          }),
        )
        same(await readRange(volume, 0, bytes.length), expected, "the whole volume")
        return undefined
      }),
  },
  {
    name: "shows flushed writes when it is closed and opened again",
    skip: ({ plugin, untouchable }) =>
      plugin.manifest.writable && plugin.manifest.persistent ? untouchable : "not writable and persistent",
    run: (subject) =>
      withSample(subject, async ({ volume, again, closed }) => {
        if (!isWritable(volume)) return READ_ONLY
        await volume.write(new Uint8Array(513).fill(9), 0, 4000, 513)
        await volume.flush()
        await volume.close()
        closed(volume)
        same(await readRange(await again(), 4000, 513), new Uint8Array(513).fill(9), "what was flushed")
        return undefined
      }),
  },
]

/** Writes each range and compares the whole volume with what it must be, in the end and around each write. */
const writesAreRead = async (
  volume: Writable,
  expected: Uint8Array,
  ranges: ReadonlyArray<readonly [number, number]>,
): Promise<undefined> => {
  for (const [i, [offset, length]] of ranges.entries()) {
    const from = new Uint8Array(length + 3).fill((i % 255) + 1)
    if (i % 2 === 0 || volume.writeSync?.(from, 3, offset, length) !== true) await volume.write(from, 3, offset, length)
    expected.fill((i % 255) + 1, offset, offset + length)
    const start = Math.max(0, offset - 1)
    const end = Math.min(expected.length, offset + length + 1)
    same(
      await readRange(volume, start, end - start),
      expected.subarray(start, end),
      `around ${length} bytes at ${offset}`,
    )
  }
  same(await readRange(volume, 0, expected.length), expected, "the whole volume after all writes")
  return undefined
}
