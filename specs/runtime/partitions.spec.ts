/** Partition tables, valid and not, made byte by byte; those that sfdisk makes are read in specs/interop/image-diff-files.spec.ts. */
import { crc32 } from "node:zlib"
import { describe, expect, it } from "vitest"
import { readPartitions } from "../../core/runtime/partitions.ts"
import { random } from "../support/random.ts"

const BLOCK = 512
const BLOCKS = 4096
type Entry = readonly [type: number, start: number, blocks: number]

const blank = (blocks = BLOCKS) => Buffer.alloc(blocks * BLOCK)
const table = (disk: Buffer, lba: number, entries: ReadonlyArray<Entry>): Buffer => {
  for (const [i, [type, start, blocks]] of entries.entries()) {
    const at = lba * BLOCK + 446 + i * 16
    disk[at + 4] = type
    disk.writeUInt32LE(start, at + 8)
    disk.writeUInt32LE(blocks, at + 12)
  }
  disk.writeUInt16LE(0xaa55, lba * BLOCK + 510)
  return disk
}
const read = (disk: Buffer) =>
  readPartitions({
    sizeBytes: disk.length,
    async read(offset, length) {
      expect([offset % BLOCK, length % BLOCK, offset + length <= disk.length]).toEqual([0, 0, true])
      return Buffer.from(disk.subarray(offset, offset + length))
    },
  })
const found = async (disk: Buffer) => {
  const answer = await read(disk)
  if (answer.kind === "damaged") return answer.why
  return [answer.kind, ...answer.partitions.map((p) => [p.number, p.offset / BLOCK, p.sizeBytes / BLOCK])]
}

describe("a disk without a table", () => {
  it("is one file system: blank, one block long, or with no signature", async () => {
    expect(await found(blank())).toEqual(["none", [0, 0, BLOCKS]])
    expect(await found(table(blank(1), 0, [[0x83, 0, 1]]))).toEqual(["none", [0, 0, 1]])
    const unsigned = table(blank(), 0, [[0x83, 64, 64]])
    unsigned[510] = 0
    expect(await found(unsigned)).toEqual(["none", [0, 0, BLOCKS]])
  })

  it("is one that has a file system's boot sector, or entries that are no entries", async () => {
    const fat = table(blank(), 0, [[0x83, 64, 64]])
    fat.write("FAT16   ", 54)
    expect(await found(fat)).toEqual(["none", [0, 0, BLOCKS]])
    const code = table(blank(), 0, [[0x83, 64, 64]])
    code[446 + 16] = 0x33
    expect(await found(code)).toEqual(["none", [0, 0, BLOCKS]])
    expect(await found(table(blank(), 0, []))).toEqual(["none", [0, 0, BLOCKS]])
  })
})

describe("an MBR", () => {
  it("has its partitions in order of their offsets, each with its own number, to the last block", async () => {
    const disk = table(blank(), 0, [
      [0x83, 2048, 2048],
      [0, 0, 0],
      [0x07, 64, 64],
    ])
    expect(await found(disk)).toEqual(["mbr", [3, 64, 64], [1, 2048, 2048]])
  })

  it("with a partition one block past the end is damaged", async () => {
    expect(await found(table(blank(), 0, [[0x83, 2048, 2049]]))).toBe("partition 1 ends past the end of the disk")
  })

  it("has logical partitions, counted from five and each from its own table", async () => {
    const disk = table(blank(), 0, [
      [0x83, 64, 64],
      [0x0f, 1000, 3000],
    ])
    table(disk, 1000, [
      [0x83, 10, 100],
      [0x05, 500, 300],
    ])
    table(disk, 1500, [
      [0x07, 20, 200],
      [0x05, 1000, 300],
    ])
    table(disk, 2000, [])
    expect(await found(disk)).toEqual(["mbr", [1, 64, 64], [5, 1010, 100], [6, 1520, 200]])
  })

  it("with logical tables that lead back, are missing or too many is damaged", async () => {
    const loop = table(blank(), 0, [[0x05, 1000, 3000]])
    table(loop, 1000, [
      [0x83, 10, 10],
      [0x05, 0, 300],
    ])
    expect(await found(loop)).toBe("the tables of logical partitions lead back to one another")
    expect(await found(table(blank(), 0, [[0x05, 1000, 3000]]))).toBe("a table of logical partitions is not there")
    expect(await found(table(blank(), 0, [[0x05, 4096, 1]]))).toBe(
      "a table of logical partitions lies past the end of the disk",
    )
    const many = table(blank(), 0, [[0x05, 1000, 3000]])
    for (let i = 0; i < 129; i++)
      table(many, 1000 + i * 2, [[0x83, 1, 1], ...(i === 128 ? [] : [[0x05, (i + 1) * 2, 2] as const])])
    expect(await found(many)).toBe("there are more than 128 logical partitions")
    table(many, 1000 + 127 * 2, [
      [0x83, 1, 1],
      [0, 0, 0],
    ])
    expect(await found(many)).toHaveLength(129)
  })
})

describe("a GPT", () => {
  const LAST = BLOCKS - 1
  const gpt = (
    disk: Buffer,
    lba: number,
    entriesAt: number,
    entries: ReadonlyArray<readonly [first: number, last: number]>,
    { count = 128, size = 128, headerBytes = 92 } = {},
  ): Buffer => {
    table(disk, 0, [[0xee, 1, LAST]])
    const list = disk.subarray(entriesAt * BLOCK, entriesAt * BLOCK + Math.min(count * size, 64 * BLOCK))
    for (const [i, [first, last]] of entries.entries()) {
      list.fill(7, i * size, i * size + 16)
      list.writeBigUInt64LE(BigInt(first), i * size + 32)
      list.writeBigUInt64LE(BigInt(last), i * size + 40)
    }
    const at = lba * BLOCK
    disk.write("EFI PART", at)
    disk.writeUInt32LE(headerBytes, at + 12)
    disk.writeBigUInt64LE(BigInt(lba), at + 24)
    disk.writeBigUInt64LE(BigInt(entriesAt), at + 72)
    disk.writeUInt32LE(count, at + 80)
    disk.writeUInt32LE(size, at + 84)
    disk.writeUInt32LE(crc32(list), at + 88)
    return sealed(disk, lba, headerBytes)
  }
  const sealed = (disk: Buffer, lba: number, headerBytes = 92): Buffer => {
    disk.writeUInt32LE(0, lba * BLOCK + 16)
    disk.writeUInt32LE(crc32(disk.subarray(lba * BLOCK, lba * BLOCK + headerBytes)), lba * BLOCK + 16)
    return disk
  }

  it("has its used entries, of any size, the last block included", async () => {
    const one = [64, 127] as const
    const two = [2048, LAST] as const
    expect(await found(gpt(blank(), 1, 2, [one, two]))).toEqual(["gpt", [1, 64, 64], [2, 2048, 2048]])
    expect(await found(gpt(blank(), 1, 2, [two, one], { count: 2, size: 256 }))).toEqual([
      "gpt",
      [2, 64, 64],
      [1, 2048, 2048],
    ])
    expect(await found(gpt(blank(), 1, 2, []))).toEqual(["gpt"])
  })

  it("is read from its backup when the first header or its entries are spoiled", async () => {
    for (const spoiled of [BLOCK, BLOCK + 40, 2 * BLOCK + 33]) {
      const disk = gpt(gpt(blank(), 1, 2, [[64, 127]]), LAST, LAST - 32, [[64, 127]])
      disk[spoiled]! ^= 1
      expect([spoiled, await found(disk)]).toEqual([spoiled, ["gpt", [1, 64, 64]]])
    }
  })

  it("is damaged when both are, and the reason is that of each", async () => {
    const disk = gpt(blank(), 1, 2, [[64, 127]])
    disk[2 * BLOCK + 33]! ^= 1
    const none = "of its backup, the GPT header is not there"
    expect(await found(disk)).toBe(`the checksum of the GPT's entries is wrong; ${none}`)
    const elsewhere = gpt(blank(), 1, 2, [])
    elsewhere.writeBigUInt64LE(2n, BLOCK + 24)
    expect(await found(sealed(elsewhere, 1))).toBe(`the GPT header says it lies elsewhere; ${none}`)
    for (const headerBytes of [91, 513]) {
      const odd = gpt(blank(), 1, 2, [])
      odd.writeUInt32LE(headerBytes, BLOCK + 12)
      expect(await found(odd)).toBe(`the GPT header has no valid size; ${none}`)
    }
  })

  it("of a disk of larger blocks is told as that", async () => {
    const disk = table(blank(), 0, [[0xee, 1, LAST]])
    disk.write("EFI PART", 4096)
    expect(await found(disk)).toBe("its GPT was made for blocks of 4096 bytes, and the disk has 512")
  })

  it("claims no more entries than are read, nor any outside the disk", async () => {
    const none = "of its backup, the GPT header is not there"
    expect(await found(gpt(blank(), 1, 2, [], { count: 1025 }))).toBe(
      `the GPT has 1025 entries of 128 bytes, which is not supported; ${none}`,
    )
    expect(await found(gpt(blank(), 1, 2, [], { size: 192 }))).toBe(
      `the GPT has 128 entries of 192 bytes, which is not supported; ${none}`,
    )
    const past = gpt(blank(), 1, 2, [])
    past.writeBigUInt64LE(BigInt(BLOCKS - 31), BLOCK + 72)
    expect(await found(sealed(past, 1))).toBe(`the GPT's entries lie past the end of the disk; ${none}`)
    past.writeBigUInt64LE(2n ** 64n - 1n, BLOCK + 72)
    expect(await found(sealed(past, 1))).toBe(`the GPT's entries lie past the end of the disk; ${none}`)
  })

  it("with a partition that ends past the end, or before it begins, is damaged", async () => {
    expect(await found(gpt(blank(), 1, 2, [[64, BLOCKS]]))).toBe("partition 1 ends past the end of the disk")
    expect(await found(gpt(blank(), 1, 2, [[64, 63]]))).toBe("partition 1 ends before it begins")
  })
})

it("tables of random bytes are read within the disk and to an end", async () => {
  for (let seed = 1; seed <= 300; seed++) {
    const dice = random(seed)
    const disk = blank()
    for (let i = dice.int(4); i >= 0; i--) {
      const lba = i === 0 ? 0 : dice.int(BLOCKS)
      const entries = Array.from({ length: 1 + dice.int(4) }, (): Entry => {
        return [dice.pick([0, 5, 0x0f, 0x83, 0xee]), dice.int(dice.pick([64, BLOCKS, 2 ** 32])), dice.int(BLOCKS)]
      })
      table(disk, lba, entries)
    }
    const answer = await read(disk)
    if (answer.kind === "damaged") continue
    for (const { offset, sizeBytes } of answer.partitions)
      expect([seed, sizeBytes > 0 && offset + sizeBytes <= disk.length]).toEqual([seed, true])
  }
})
