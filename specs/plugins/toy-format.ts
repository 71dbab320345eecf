/**
 * A disk format that does everything right and is small enough to break: a header, a table of blocks, a base beside it.
 *
 *     0      4        8            12             16 …
 *     │ TOY1 │ blocks │ has base   │ (zero)       │ one byte a block: 0 zero, 1 here, 2 in the base │ the blocks that are here …
 */
import { fail } from "../../core/errors.ts"
import type { DiskFormat, FormatDisk } from "../../core/storage/format.ts"
import type { Volume } from "../../core/storage/volume.ts"

const BLOCK = 512
const BLOCKS_MAX = 4096
const TABLE = 16

export const toyFormat: DiskFormat = {
  apiVersion: 1,
  format: "toy",
  probe: ({ head }) => ({ match: Buffer.from(head.subarray(0, 4)).toString("latin1") === "TOY1" ? "magic" : "no" }),
  async open(volume, { sibling }) {
    const refuse = (why: string) => fail("IMAGE_NOT_A_DISK", { path: "the toy", why })
    if (volume.sizeBytes < TABLE) throw refuse("it has no header")
    const header = Buffer.alloc(TABLE)
    await volume.read(header, 0, 0, TABLE)
    const blocks = header.readUInt32BE(4)
    if (header.toString("latin1", 0, 4) !== "TOY1") throw refuse("its magic is wrong")
    if (blocks === 0 || blocks > BLOCKS_MAX) throw refuse(`it cannot have ${blocks} blocks`)
    if (volume.sizeBytes < TABLE + blocks) throw refuse("its table is cut short")
    const table = Buffer.alloc(blocks)
    await volume.read(table, 0, TABLE, blocks)
    const base = header.readUInt32BE(8) === 1 ? await sibling("base.raw") : undefined
    return toyDisk(volume, table, base)
  },
}

const toyDisk = (volume: Volume, table: Buffer, base: Volume | undefined): FormatDisk => {
  /** Where each block that is here begins, in order of the table. */
  const places = [...table].map(
    (_, i) => TABLE + table.length + table.subarray(0, i).filter((kind) => kind === 1).length * BLOCK,
  )
  return {
    sizeBytes: table.length * BLOCK,
    dependsOn: base === undefined ? [] : ["base.raw"],
    async read(into, at, offset, length, signal) {
      for (let done = 0; done < length; ) {
        const block = Math.floor((offset + done) / BLOCK)
        const within = (offset + done) % BLOCK
        const run = Math.min(BLOCK - within, length - done)
        const kind = table[block]
        if (kind === 1) await volume.read(into, at + done, places[block]! + within, run, signal)
        else if (kind === 2 && base !== undefined) await base.read(into, at + done, offset + done, run, signal)
        else into.fill(0, at + done, at + done + run)
        done += run
      }
    },
    async extents(offset, length, max) {
      const extents = []
      for (let at = offset; at < offset + length && extents.length < max; ) {
        const end = Math.min((Math.floor(at / BLOCK) + 1) * BLOCK, offset + length)
        const kind = table[Math.floor(at / BLOCK)] === 0 ? ("zero" as const) : ("data" as const)
        extents.push({ offset: at, length: end - at, kind })
        at = end
      }
      return extents
    },
    readSync: () => false,
    async close() {
      await base?.close()
      await volume.close()
    },
  }
}

/** Files and guest of a toy image of 300 blocks: one in three is here, one in three in the base. */
export const toySample = (random: Uint8Array) => {
  const blocks = 300
  const table = Uint8Array.from({ length: blocks }, (_, i) => i % 3)
  const guest = random.slice(0, blocks * BLOCK)
  const here: Array<Uint8Array> = []
  for (let i = 0; i < blocks; i++) {
    const block = guest.subarray(i * BLOCK, (i + 1) * BLOCK)
    if (i % 3 === 0) block.fill(0)
    if (i % 3 === 1) here.push(block)
  }
  const base = guest.slice()
  for (let i = 0; i < blocks; i++) if (i % 3 === 1) base.fill(0xee, i * BLOCK, (i + 1) * BLOCK)
  const header = Buffer.from([0x54, 0x4f, 0x59, 0x31, 0, 0, 1, 0x2c, 0, 0, 0, 1, 0, 0, 0, 0])
  return { files: { "disk.toy": Uint8Array.from(Buffer.concat([header, table, ...here])), "base.raw": base }, guest }
}
