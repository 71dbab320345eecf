/** Checks of what the guest sees, and of what the format does to the files beneath. */
import assert from "node:assert/strict"
import { extentFault, volumeFault } from "../../../core/storage/judge.ts"
import { boundaryRanges, randomRanges, same } from "../support/bytes.ts"
import { guarded, readRange, refusedWith } from "../support/volumes.ts"
import type { FormatSample, FormatSubject } from "./sample.ts"
import { type FormatCheck, openDisk } from "./subject.ts"

type Opened = Awaited<ReturnType<typeof openDisk>>

/** One check over every sample, each opened and closed. */
const onEach = (
  name: string,
  body: (opened: Opened, sample: FormatSample, subject: FormatSubject) => Promise<unknown>,
): FormatCheck => ({
  name,
  async run(subject) {
    let late: unknown
    for (const sample of subject.samples) {
      const opened = await openDisk(subject, sample.files)
      try {
        late = await body(opened, sample, subject)
      } finally {
        await opened.disk.close()
      }
    }
    return late
  },
})

export const guestChecks: ReadonlyArray<FormatCheck> = [
  onEach("opens a disk of the guest's size", async ({ disk }, { guest, name }) => {
    assert.equal(volumeFault(disk), undefined, name)
    assert.equal(disk.sizeBytes, guest.length, name)
  }),
  onEach("reads the guest's whole disk in one request", async ({ disk }, { guest, name }) => {
    same(await readRange(disk, 0, guest.length), guest, name)
  }),
  onEach("reads at, before and across every boundary", async ({ disk }, { guest, name }) => {
    for (const [offset, length] of boundaryRanges(guest.length))
      same(
        await readRange(disk, offset, length),
        guest.subarray(offset, offset + length),
        `${name}: ${length} bytes at ${offset}`,
      )
  }),
  onEach("fills exactly the part of the buffer it was given", async ({ disk }, { guest, name }) => {
    const length = Math.min(1000, guest.length)
    const into = new Uint8Array(length + 20).fill(0xa5)
    const expected = into.slice()
    expected.set(guest.subarray(guest.length - length), 10)
    await disk.read(into, 10, guest.length - length, length)
    same(into, expected, name)
  }),
  onEach("answers 64 reads at once with their own bytes", async ({ disk }, { guest, name }, { seed = 1 }) => {
    const ranges = randomRanges(guest.length, 64, seed)
    const answers = await Promise.all(ranges.map(([offset, length]) => readRange(disk, offset, length)))
    for (const [i, [offset, length]] of ranges.entries())
      same(answers[i]!, guest.subarray(offset, offset + length), `${name}, seed ${seed}: ${length} bytes at ${offset}`)
  }),
  onEach("answers readSync with true and all the bytes, or with false and none", async ({ disk }, { guest, name }) => {
    if (disk.readSync === undefined) return "the disk has no readSync"
    for (const [offset, length] of boundaryRanges(guest.length)) {
      const into = new Uint8Array(length).fill(0xa5)
      const answer = disk.readSync(into, 0, offset, length)
      const expected = answer ? guest.subarray(offset, offset + length) : new Uint8Array(length).fill(0xa5)
      same(into, expected, `${name}: readSync of ${length} bytes at ${offset}, answering ${answer}`)
    }
    return undefined
  }),
  onEach("describes its disk in adjoining extents, zero only where it is zero", async ({ disk }, { guest, name }) => {
    if (disk.extents === undefined) return "the disk has no extents"
    for (let at = 0; at < guest.length; ) {
      const some = await disk.extents(at, guest.length - at, 2)
      const fault = extentFault(some, at, guest.length - at, 2)
      assert.ok(fault === undefined, `${name}: extents at ${at}: ${fault}`)
      for (const { offset, length, kind } of some) {
        const zero = guest.subarray(offset, offset + length).every((byte) => byte === 0)
        assert.ok(kind === "data" || zero, `${name}: ${length} bytes at ${offset} are not ${kind}`)
        at = offset + length
      }
    }
    return undefined
  }),
  onEach("names what it depends on, in order of opening", async ({ disk, traffic }, { name }) => {
    assert.deepEqual([...disk.dependsOn], traffic.opened.slice(1), name)
  }),
  onEach("refuses a read one past the end, and has no write", async ({ disk }, { guest, name }, { format }) => {
    const guard = guarded(disk, format.format)
    await refusedWith("OUT_OF_RANGE", name, () => readRange(guard, guest.length, 1))
    assert.equal(disk.write, undefined, name)
  }),
  {
    name: "never writes to a file, and closes every file it opened once its disk is closed",
    async run(subject) {
      for (const { name, files, guest } of subject.samples) {
        const { disk, traffic } = await openDisk(subject, files)
        await readRange(disk, 0, guest.length)
        assert.deepEqual(traffic.closed, [], `${name}: closed too early`)
        await disk.close()
        assert.equal(traffic.written, 0, `${name}: writes`)
        assert.deepEqual([...traffic.closed].sort(), [...traffic.opened].sort(), `${name}: files closed`)
      }
    },
  },
]
