/** Checks of reads: right bytes, all of them, nowhere else, also many at once and while somebody gives up. */
import assert from "node:assert/strict"
import { boundaryRanges, randomRanges, same } from "../support/bytes.ts"
import { guarded, readRange, refusedWith, settle, someTurns } from "../support/volumes.ts"
import { type StorageCheck, seedOf, withSample } from "./subject.ts"

const MARK = 0xa5

export const readingChecks: ReadonlyArray<StorageCheck> = [
  {
    name: "reads the first byte and the last",
    run: (subject) =>
      withSample(subject, async ({ volume, bytes }) => {
        same(await readRange(volume, 0, 1), bytes.subarray(0, 1), "the first byte")
        same(await readRange(volume, bytes.length - 1, 1), bytes.subarray(-1), "the last byte")
      }),
  },
  {
    name: "reads everything in one request",
    run: (subject) =>
      withSample(subject, async ({ volume, bytes }) => {
        same(await readRange(volume, 0, bytes.length), bytes, "the whole volume")
      }),
  },
  {
    name: "reads at, before and across every boundary",
    run: (subject) =>
      withSample(subject, async ({ volume, bytes }) => {
        for (const [offset, length] of boundaryRanges(bytes.length))
          same(
            await readRange(volume, offset, length),
            bytes.subarray(offset, offset + length),
            `${length} bytes at ${offset}`,
          )
      }),
  },
  {
    name: "fills exactly the part of the buffer it was given",
    run: (subject) =>
      withSample(subject, async ({ volume, bytes }) => {
        for (const [at, offset, length] of [
          [0, 0, 512],
          [1, 511, 2],
          [700, 4000, 200],
          [1023, bytes.length - 1, 1],
        ] as const) {
          const into = new Uint8Array(1024).fill(MARK)
          const expected = into.slice()
          expected.set(bytes.subarray(offset, offset + length), at)
          await volume.read(into, at, offset, length)
          same(into, expected, `a buffer read into at ${at}, ${length} bytes from ${offset}`)
        }
      }),
  },
  {
    name: "leaves the buffer alone once the read has settled",
    run: (subject) =>
      withSample(subject, async ({ volume }) => {
        const into = new Uint8Array(8192)
        await volume.read(into, 0, 0, into.length)
        into.fill(MARK)
        await someTurns()
        same(into, new Uint8Array(8192).fill(MARK), "the buffer, some turns later")
      }),
  },
  {
    name: "never sees a read one past the end, before the start, or of nothing: the guard refuses it",
    run: (subject) =>
      withSample(subject, async ({ volume, bytes }) => {
        const guard = guarded(volume, subject.plugin.kind)
        for (const [offset, length] of [
          [bytes.length, 1],
          [bytes.length - 1, 2],
          [-1, 1],
          [0, 0],
          [0, bytes.length + 1],
        ] as const)
          await refusedWith("OUT_OF_RANGE", `${length} bytes at ${offset}`, () =>
            guard.read(new Uint8Array(bytes.length + 1), 0, offset, length),
          )
      }),
  },
  {
    name: "answers 200 random reads with their own bytes, one after another",
    run: (subject) =>
      withSample(subject, async ({ volume, bytes }) => {
        const seed = seedOf(subject)
        for (const [offset, length] of randomRanges(bytes.length, 200, seed))
          same(
            await readRange(volume, offset, length),
            bytes.subarray(offset, offset + length),
            `seed ${seed}: ${length} bytes at ${offset}`,
          )
      }),
  },
  {
    name: "answers 64 reads at once with their own bytes",
    run: (subject) =>
      withSample(subject, async ({ volume, bytes }) => {
        const seed = seedOf(subject)
        const ranges = randomRanges(bytes.length, 64, seed + 1)
        const answers = await Promise.all(ranges.map(([offset, length]) => readRange(volume, offset, length)))
        for (const [i, [offset, length]] of ranges.entries())
          same(
            answers[i]!,
            bytes.subarray(offset, offset + length),
            `seed ${seed}: read ${i}, ${length} bytes at ${offset}`,
          )
      }),
  },
  {
    name: "answers readSync with true and all the bytes, or with false and none",
    run: (subject) =>
      withSample(subject, async ({ volume, bytes }) => {
        if (volume.readSync === undefined) return "the volume has no readSync"
        for (const [offset, length] of boundaryRanges(bytes.length)) {
          const into = new Uint8Array(length + 2).fill(MARK)
          const expected = into.slice()
          const answer = volume.readSync(into, 1, offset, length)
          assert.ok(answer === true || answer === false, `readSync answered ${String(answer)}`)
          if (answer) expected.set(bytes.subarray(offset, offset + length), 1)
          same(into, expected, `readSync of ${length} bytes at ${offset}, answering ${answer}`)
        }
        return undefined
      }),
  },
  {
    name: "settles reads that are aborted, before or on the way, and goes on reading",
    run: (subject) =>
      withSample(subject, async ({ volume, bytes }) => {
        await settle(volume.read(new Uint8Array(512), 0, 0, 512, AbortSignal.abort()))
        const controller = new AbortController()
        const reads = Array.from({ length: 8 }, (_, i) =>
          settle(volume.read(new Uint8Array(4096), 0, i * 4096, 4096, controller.signal)),
        )
        controller.abort()
        await Promise.all(reads)
        same(await readRange(volume, 512, 512), bytes.subarray(512, 1024), "a read after an aborted one")
      }),
  },
]
