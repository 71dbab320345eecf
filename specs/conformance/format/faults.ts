/** Checks with faults beneath the format: a failing read, late answers, and an image that shrinks while it is open. */
import assert from "node:assert/strict"
import { isImagelinkError } from "../../../core/errors.ts"
import { randomRanges, same } from "../support/bytes.ts"
import { guarded, readRange, settle, someTurns } from "../support/volumes.ts"
import type { FormatSubject } from "./sample.ts"
import { type FormatCheck, imageOf, noTrouble, openDisk, type Trouble } from "./subject.ts"

/** Reads of an opening that are made to fail, one after another. */
const OPENING_READS_MAX = 64
/** Rounds in which late answers are let go; a read takes a few, one for each table on its way. */
const ROUNDS_MAX = 1000

const eio = () => Object.assign(new Error("EIO: i/o error, read"), { code: "EIO" })

const ours = (error: unknown, what: string): void => {
  assert.ok(isImagelinkError(error), `${what}: threw ${String(error)}`)
  assert.notEqual(error.code, "PLUGIN_BROKE_CONTRACT", `${what}: ${error.reason}`)
}

export const faultChecks: ReadonlyArray<FormatCheck> = [
  {
    name: "refuses with an error of the closed list when any one read of its opening fails",
    async run(subject) {
      for (const { name, files } of subject.samples)
        for (let failing = 0; failing < OPENING_READS_MAX; failing++) {
          let reads = 0
          const trouble: Trouble = { ...noTrouble, error: () => (reads++ === failing ? eio() : undefined) }
          const { error } = await settle(openDisk(subject, files, trouble).then(({ disk }) => disk.close()))
          if (error !== undefined) ours(error, `${name}, read ${failing}`)
          if (reads <= failing) break
        }
    },
  },
  {
    name: "refuses reads while storage fails, and reads right once it has passed",
    async run(subject) {
      for (const { name, files, guest } of subject.samples) {
        const trouble: { -readonly [K in keyof Trouble]: Trouble[K] } = { ...noTrouble }
        const { disk, traffic } = await openDisk(subject, files, trouble)
        trouble.error = eio
        const into = new Uint8Array(guest.length)
        const { error } = await settle(disk.read(into, 0, 0, guest.length))
        if (error === undefined) same(into, guest, `${name}, which needed no storage`)
        else ours(error, name)
        trouble.error = noTrouble.error
        same(await readRange(disk, 0, guest.length), guest, `${name}, once storage reads again`)
        await disk.close()
        assert.deepEqual([...traffic.closed].sort(), [...traffic.opened].sort(), `${name}: files closed`)
      }
    },
  },
  {
    name: "gives late answers, the last first, to the reads that they belong to, and is closed after them",
    run: (subject) => eachLate(subject),
  },
  {
    name: "makes nothing up where its image was cut while it was open",
    async run(subject) {
      for (const { name, files, guest } of subject.samples) {
        const trouble: { -readonly [K in keyof Trouble]: Trouble[K] } = { ...noTrouble }
        const { disk } = await openDisk(subject, files, trouble)
        const image = Object.keys(files)[0]!
        const cut = imageOf(files).length >> 1
        trouble.error = (file, offset, length) => (file === image && offset + length > cut ? eio() : undefined)
        for (const [offset, length] of [
          [0, guest.length] as const,
          ...randomRanges(guest.length, 32, subject.seed ?? 1),
        ]) {
          const into = new Uint8Array(length)
          const { error } = await settle(disk.read(into, 0, offset, length))
          const what = `${name}, cut: ${length} bytes at ${offset}`
          if (error === undefined) same(into, guest.subarray(offset, offset + length), what)
          else ours(error, what)
        }
        await disk.close()
      }
    },
  },
]

const eachLate = async (subject: FormatSubject): Promise<void> => {
  for (const { name, files, guest } of subject.samples) {
    const held: Array<() => void> = []
    const trouble: { -readonly [K in keyof Trouble]: Trouble[K] } = { ...noTrouble }
    const { disk, traffic } = await openDisk(subject, files, trouble)
    trouble.when = (go) => void held.push(go)
    const guard = guarded(disk, subject.format.format)
    const seed = subject.seed ?? 1
    const ranges = randomRanges(guest.length, 16, seed)
    const reads = ranges.map(([offset, length]) => readRange(guard, offset, length))
    let open = true
    const closing = guard.close().then(() => {
      open = false
    })
    const failures = Promise.all(reads.map(settle))
    for (let i = 0; open && i < ROUNDS_MAX; i++) {
      await someTurns()
      for (const go of held.splice(0).reverse()) go()
    }
    trouble.when = noTrouble.when
    for (const go of held.splice(0)) go()
    await failures
    for (const [i, [offset, length]] of ranges.entries())
      same(
        await reads[i]!,
        guest.subarray(offset, offset + length),
        `${name}, seed ${seed}: ${length} bytes at ${offset}`,
      )
    await closing
    assert.deepEqual([...traffic.closed].sort(), [...traffic.opened].sort(), `${name}: files closed`)
  }
}
