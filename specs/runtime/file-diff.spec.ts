/** How files are compared of two versions: what the tool is shown of each, byte for byte, and what is refused. The tool is one of the spec's own. */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest"
import { sleuthkit } from "../../adapters/host/sleuthkit.ts"
import { fail } from "../../core/errors.ts"
import type { FileLister, ListedFile } from "../../core/runtime/file-lister.ts"
import { scratch } from "../support/cli.ts"
import { rawBytes } from "../support/images.ts"
import { readAll, type ServingSite, serveHere, write, zero } from "../support/serving.ts"

const KiB = 1024
const MiB = 1024 * KiB
const folder = scratch("file-diff")
/** Two partitions with something between and behind them, each with a boot sector of NTFS. */
const size = 8 * MiB
const parts = [
  { offset: 64 * KiB, length: 3 * MiB },
  { offset: 4 * MiB, length: 3 * MiB },
] as const
let here: ServingSite
let lister: FileLister
let freeBytes: number
/** What was asked, and what the tool would have seen. */
let shown: Array<{ readonly offset: number; readonly bytes: Buffer }>
let failing: (offset: number) => boolean
let open = 0
const whole = new Map<number, Buffer>()

const listed = (path: string, sizeBytes: number): ListedFile => ({
  ...{ path, sizeBytes, directory: false, modifiedAt: 1, changedAt: 1, inode: "1", rights: "" },
})
const fake: FileLister = {
  async scratch(sizeBytes) {
    const bytes = Buffer.alloc(sizeBytes)
    open++
    return {
      writeSync: () => false,
      async write(from, at, offset, length) {
        bytes.set(from.subarray(at, at + length), offset)
      },
      async zero(offset, length) {
        bytes.fill(0, offset, offset + length)
      },
      async list(offset, onFile) {
        if (failing(offset)) throw fail("FILE_LISTING_FAILED", { why: "fls says: no" })
        shown.push({ offset, bytes: Buffer.from(bytes) })
        onFile(
          listed(
            "/sum",
            bytes.subarray(offset, offset + 3 * MiB).reduce((sum, byte) => sum + byte, 0),
          ),
        )
      },
      async close() {
        open--
      },
    }
  },
}
const disk = (): Buffer => {
  const bytes = rawBytes(size)
  bytes.fill(0, 440, 510)
  for (const [i, { offset, length }] of parts.entries()) {
    bytes[446 + i * 16 + 4] = 7
    bytes.writeUInt32LE(offset / 512, 446 + i * 16 + 8)
    bytes.writeUInt32LE(length / 512, 446 + i * 16 + 12)
    bytes.write("NTFS    ", offset + 3)
    bytes.fill(0, offset + MiB, offset + 2 * MiB)
  }
  return bytes
}
const commit = async (
  number: number,
  ...writes: ReadonlyArray<readonly [offset: number, length: number, zero?: true]>
) => {
  await here.do("client.set-super", { client: "PC-001", image: "win11" })
  const lease = await here.attach("PC-001")
  for (const [offset, length, isZero] of writes)
    if (isZero) await zero(lease, offset, length)
    else await write(lease, offset, Buffer.alloc(length, number))
  whole.set(number, await readAll(lease))
  await lease.release()
  await here.do("image.commit", { name: "win11" })
}
/** The first version's table, changed. */
const commitTable = async (change: (table: Buffer) => void) => {
  await here.do("client.set-super", { client: "PC-001", image: "win11" })
  const lease = await here.attach("PC-001")
  const table = Buffer.from(whole.get(1)!.subarray(0, 512))
  change(table)
  await write(lease, 0, table)
  await lease.release()
  await here.do("image.commit", { name: "win11" })
}
const diff = async (from: number, to: number) => {
  const of = (version: number) => ({ name: "win11", version })
  return (await here.do("image.diff", { from: of(from), to: of(to), filesMax: 10 })).files!
}
const code = (asked: Promise<unknown>) =>
  asked.then(
    () => "accepted",
    (e) => e.code,
  )

beforeAll(async () => {
  const path = join(folder, "win11.raw")
  whole.set(1, disk())
  writeFileSync(path, whole.get(1)!)
  here = await serveHere(join(folder, "data"), (own) => ({
    fileLister: async () => lister,
    files: { ...own.files, space: async () => ({ freeBytes, sizeBytes: 2 ** 40 }) },
  }))
  await here.do("image.add", { name: "win11", path, check: true })
  await here.do("client.add", { mac: "52:54:00:00:00:01" })
  await here.do("client.link", { clients: ["PC-001"], image: "win11", slot: 0 })
  // In front of the first partition, in it, across its end, and between the two.
  await commit(2, [60 * KiB, 4 * KiB, true], [68 * KiB, 4 * KiB], [3 * MiB + 60 * KiB, 8 * KiB], [3.5 * MiB, 4 * KiB])
  await commit(3, [4 * MiB + 3 * KiB, 1 * KiB], [5 * MiB, MiB], [6 * MiB, 512 * KiB, true], [7 * MiB - 512, 1024])
})
beforeEach(() => {
  lister = fake
  freeBytes = 2 ** 40
  shown = []
  failing = () => false
})
afterAll(() => here.close())

/** Where a listing was of, and which version's bytes the tool saw in that partition; the rest is none of its business. */
const seen = () =>
  shown.map(({ offset, bytes }) => {
    const of = (number: number) => whole.get(number)!.subarray(offset, offset + 3 * MiB)
    const versions = [1, 2, 3].filter((number) => of(number).equals(bytes.subarray(offset, offset + 3 * MiB)))
    return [offset, ...versions]
  })

describe("the tool is shown", () => {
  it("only partitions that were written to, each as either version has it", async () => {
    const { partitions } = await diff(2, 3)
    expect(partitions.map((p) => [p.number, p.outcome, p.changedBytes])).toEqual([
      [1, "same", 0],
      [2, "compared", MiB + 516 * KiB + 4 * KiB],
    ])
    expect(seen()).toEqual([
      [4 * MiB, 1, 2],
      [4 * MiB, 3],
    ])
  })

  it("both partitions where both were written to, the earlier version first", async () => {
    const [a, b] = [64 * KiB, 4 * MiB]
    const { rows, totals } = await diff(1, 3)
    expect(rows.map(({ partition, change, by }) => [partition, change, by])).toEqual([
      [1, "changed", ["size"]],
      [2, "changed", ["size"]],
    ])
    expect(totals).toEqual({ added: 0, removed: 0, changed: 2 })
    await diff(3, 1)
    expect(seen()).toEqual([
      ...[
        [a, 1],
        [b, 1, 2],
        [a, 2, 3],
        [b, 3],
      ],
      ...[
        [a, 2, 3],
        [b, 3],
        [a, 1],
        [b, 1, 2],
      ],
    ])
  })

  it("nothing, and no tool is needed, of a version and itself", async () => {
    lister = sleuthkit({ folder, host: {}, newId: () => "x", find: () => undefined })
    expect((await diff(2, 2)).partitions.map(({ outcome }) => outcome)).toEqual(["same", "same"])
  })
})

describe("it is told", () => {
  it("which partition the tool could not read, and the others are compared all the same", async () => {
    failing = (offset) => offset === 4 * MiB
    const { partitions, rows } = await diff(3, 1)
    expect(partitions[1]).toMatchObject({ outcome: "unread", why: "fls says: no", totals: { changed: 0 } })
    expect(partitions[0]).toMatchObject({ outcome: "compared" })
    expect(rows.map(({ partition }) => partition)).toEqual([1])
    expect(open).toBe(0)
  })

  it("that the tool is missing, with the package that has it", async () => {
    lister = sleuthkit({ folder, host: {}, newId: () => "x", find: () => undefined })
    await expect(diff(1, 3)).rejects.toMatchObject({
      code: "FILE_TOOL_MISSING",
      fix: "install it on the server: apt install sleuthkit",
    })
  })

  it("that there is no room, before anything is copied", async () => {
    freeBytes = 257 * MiB
    await expect(diff(1, 3)).rejects.toMatchObject({ code: "FILE_COPY_REFUSED" })
    expect([shown, open]).toEqual([[], 0])
    freeBytes = 0
    expect(await code(diff(1, 3))).toBe("FILE_COPY_REFUSED")
    freeBytes = 300 * MiB
    expect(await code(diff(1, 3))).toBe("accepted")
  })

  it("that it was cancelled, and nothing is left open", async () => {
    const abort = new AbortController()
    const of = (version: number) => ({ name: "win11", version })
    const onProgress = () => abort.abort()
    const asked = { actor: { kind: "cli", name: "operator" } as const, signal: abort.signal, onProgress }
    const input = { from: of(1), to: of(3), filesMax: 1 }
    expect(await code(here.site.call("image.diff", input, asked))).toBe("CANCELLED")
    expect(open).toBe(0)
  })

  it("that a partition is in one of them only: all of its files were removed, or added", async () => {
    await commitTable((table) => table.fill(0, 446 + 16, 446 + 32))
    const { partitions, rows } = await diff(3, 4)
    expect(partitions.map((p) => [p.number, p.in, p.outcome, p.fileSystem])).toEqual([
      [1, "both", "same", { from: "ntfs", to: "ntfs" }],
      [2, "from", "compared", { from: "ntfs", to: null }],
    ])
    expect(rows.map(({ partition, change }) => [partition, change])).toEqual([[2, "removed"]])
    const back = await diff(4, 3)
    expect(back.partitions[1]!.in).toBe("to")
    expect(back.rows.map(({ partition, change }) => [partition, change])).toEqual([[2, "added"]])
  })

  it("that the partition table is damaged, and of which version", async () => {
    await commitTable((table) => table.writeUInt32LE(size / 512, 446 + 12))
    await expect(diff(3, 5)).rejects.toMatchObject({
      code: "PARTITION_TABLE_DAMAGED",
      message: "the partition table of win11@5 is damaged",
      reason: "partition 1 ends past the end of the disk",
    })
  })
})
