/** Checks with faults beneath the plugin: short answers, late ones, an error in the middle, and storage that shrinks. */
import assert from "node:assert/strict"
import { isImagelinkError } from "../../../core/errors.ts"
import type { Volume } from "../../../core/storage/volume.ts"
import { same } from "../support/bytes.ts"
import type { Fault, SampleFaults } from "../support/file-faults.ts"
import { guarded, readRange, settle, someTurns } from "../support/volumes.ts"
import { type Opened, type StorageCheck, withSample } from "./subject.ts"

const MARK = 0xa5
const BAD = 66_000
const CUT = 66_048
const NOT_MET = "the plugin did not ask the storage beneath, or not in a way that a fault can be put in"

/** A check with one sort of fault; skipped where the sample has no such. */
const withFault = <K extends keyof SampleFaults>(
  name: string,
  sort: K,
  body: (make: NonNullable<SampleFaults[K]>, opened: Opened, kind: string) => Promise<unknown>,
): StorageCheck => ({
  name,
  run: (subject) =>
    withSample(subject, async (opened) => {
      const make = opened.faults[sort]
      if (make === undefined) return `the sample has neither a file beneath nor a fault "${sort}"`
      return body(make, opened, subject.plugin.kind)
    }),
})

/** Runs `body` while a fault lasts. */
const during = async (fault: Fault, body: () => Promise<void>): Promise<string | undefined> => {
  try {
    await body()
    return fault.met === 0 ? NOT_MET : undefined
  } finally {
    fault.end()
  }
}

export const faultChecks: ReadonlyArray<StorageCheck> = [
  withFault("fills whole reads from storage that answers in short pieces", "short", (short, { volume, bytes }) =>
    during(short(100), async () => {
      for (const [offset, length] of [
        [0, 1],
        [511, 101],
        [65_000, 4096],
        [bytes.length - 1000, 1000],
      ] as const)
        same(
          await readRange(volume, offset, length),
          bytes.subarray(offset, offset + length),
          `${length} bytes at ${offset}`,
        )
    }),
  ),
  withFault(
    "rejects the reads that meet an error in the middle, serves the others, and all of them once it has passed",
    "fail",
    async (fail, { volume, bytes }, kind) => {
      const guard = guarded(volume, kind)
      const fault = fail(BAD)
      const skipped = await during(fault, async () => {
        const { error } = await settle(readRange(guard, 65_536, 4096))
        if (fault.met === 0) return
        assert.ok(error !== undefined, `a read over byte ${BAD}, which cannot be read, was answered`)
        assert.ok(isImagelinkError(error) && error.code !== "PLUGIN_BROKE_CONTRACT", `it threw ${String(error)}`)
        same(await readRange(guard, 0, 4096), bytes.subarray(0, 4096), "a read beside the error")
      })
      if (skipped !== undefined) return skipped
      same(await readRange(guard, 65_536, 4096), bytes.subarray(65_536, 69_632), "the read once the error has passed")
      return undefined
    },
  ),
  withFault(
    "gives late answers to the reads that they belong to, and touches no buffer after its read has settled",
    "late",
    async (late, { volume, bytes }) => {
      const fault = late()
      const caller = new AbortController()
      const reads = [0, 1, 2, 3].map((i) => lateRead(volume, i * 8192, i % 2 === 0 ? caller.signal : undefined))
      const skipped = await during(fault, async () => {
        await someTurns()
        caller.abort()
        await someTurns()
        // Whoever has an answer uses its buffer again.
        for (const read of reads) if (read.settled) read.into.fill(MARK)
      })
      const early = reads.filter((read) => read.settled)
      for (const [i, read] of reads.entries()) {
        const { error } = await read.ended
        const expected = early.includes(read)
          ? new Uint8Array(4096).fill(MARK)
          : bytes.subarray(i * 8192, i * 8192 + 4096)
        if (error === undefined || early.includes(read)) same(read.into, expected, `the buffer of read ${i}`)
        assert.ok(error === undefined || i % 2 === 0, `read ${i}, which nobody aborted, failed: ${String(error)}`)
      }
      return skipped
    },
  ),
  withFault(
    "is closed while reads are late: after them, and they succeed",
    "late",
    async (late, { volume, bytes, closed }, kind) => {
      const guard = guarded(volume, kind)
      const fault = late()
      const reads = [0, 1, 2, 3].map((i) => lateRead(guard, i * 8192))
      let closing: Promise<void> | undefined
      const skipped = await during(fault, async () => {
        await someTurns()
        closing = guard.close()
        closed(volume)
        await someTurns()
      })
      for (const [i, read] of reads.entries()) {
        const { error } = await read.ended
        assert.equal(error, undefined, `read ${i}: ${String(error)}`)
        same(read.into, bytes.subarray(i * 8192, i * 8192 + 4096), `read ${i}`)
      }
      await closing
      return skipped
    },
  ),
  withFault("makes nothing up where its storage was cut while it was open", "shrink", async (shrink, opened, kind) => {
    const { volume, bytes } = opened
    const guard = guarded(volume, kind)
    await shrink(CUT)
    for (const [offset, length] of [
      [0, 4096],
      [CUT - 1, 2],
      [CUT, 1],
      [65_536, 4096],
      [131_072, 4096],
    ] as const) {
      const read = lateRead(guard, offset, undefined, length)
      const { error } = await read.ended
      if (error === undefined)
        same(read.into, bytes.subarray(offset, offset + length), `${length} bytes at ${offset}, which were answered`)
      else assert.ok(isImagelinkError(error) && error.code !== "PLUGIN_BROKE_CONTRACT", `it threw ${String(error)}`)
    }
    return undefined
  }),
  withFault(
    "has another identity once its storage was cut, or is refused",
    "shrink",
    async (shrink, { volume, again }) => {
      if (volume.identity === undefined) return "the volume has no identity"
      const before = await volume.identity()
      await shrink(CUT)
      const other = await again().catch(() => undefined)
      if (other !== undefined) assert.notDeepEqual(await other.identity?.(), before)
      return undefined
    },
  ),
]

/** A read of which it is known whether it has settled. */
const lateRead = (volume: Pick<Volume, "read">, offset: number, signal?: AbortSignal, length = 4096) => {
  const into = new Uint8Array(length)
  const read = {
    into,
    settled: false,
    ended: settle(volume.read(into, 0, offset, length, signal)),
  }
  void read.ended.then(() => {
    read.settled = true
  })
  return read
}
