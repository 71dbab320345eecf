/** The partitions of two versions, each with its counterpart at the same place, and what of it was written to. */
import { setImmediate } from "node:timers/promises"
import type { Difference } from "../block/layers/diff.ts"
import { fail } from "../errors.ts"
import { type FileSystem, fileSystemOf, SIGNATURE_BYTES } from "./file-systems.ts"
import { type Partition, readPartitions } from "./partitions.ts"
import type { PartitionDiff } from "./site/image-diff.ts"
import type { VersionDisk } from "./version-disk.ts"
import type { VersionRef } from "./version-ref.ts"

export type ComparedPartition = Omit<PartitionDiff, "totals">
type Disk = VersionDisk["disk"]
type Side = readonly [ref: VersionRef, disk: Disk]

const RUNS_A_TURN = 16_384

/** @throws PARTITION_TABLE_DAMAGED CANCELLED */
export const pairPartitions = async (
  from: Side,
  to: Side,
  runs: () => Iterable<Difference>,
  signal: AbortSignal,
): Promise<ReadonlyArray<ComparedPartition>> => {
  const [before, after] = [await partitionsOf(from, signal), await partitionsOf(to, signal)]
  const offsets = [...new Set([...before.keys(), ...after.keys()])].sort((a, b) => a - b)
  const sizes = offsets.map((at) => Math.max(before.get(at)?.sizeBytes ?? 0, after.get(at)?.sizeBytes ?? 0))
  const changed = await changedBytes(offsets, sizes, runs(), signal)
  const pairs: Array<ComparedPartition> = []
  for (const [i, offset] of offsets.entries()) {
    const [a, b] = [before.get(offset), after.get(offset)]
    const systems = [await systemOf(from[1], a, signal), await systemOf(to[1], b, signal)] as const
    const same = changed[i] === 0 && a?.sizeBytes === b?.sizeBytes
    pairs.push({
      ...{ number: (b ?? a)!.number, offset, sizeBytes: sizes[i]!, changedBytes: changed[i]! },
      in: a === undefined ? "to" : b === undefined ? "from" : "both",
      fileSystem: { from: systems[0]?.name ?? null, to: systems[1]?.name ?? null },
      ...(same ? { outcome: "same", why: null } : outcomeOf(systems)),
    })
  }
  return pairs
}

const outcomeOf = (systems: ReadonlyArray<FileSystem | undefined>): Pick<ComparedPartition, "outcome" | "why"> => {
  const unread = systems.find((system) => system !== undefined && system.unread !== null)
  return unread === undefined ? { outcome: "compared", why: null } : { outcome: "unread", why: unread.unread }
}

const readerOf =
  (disk: Disk, signal: AbortSignal) =>
  async (offset: number, length: number): Promise<Buffer> => {
    const bytes = Buffer.alloc(length)
    await disk.read(bytes, 0, offset, length, signal)
    return bytes
  }

/** By offset. */
const partitionsOf = async ([ref, disk]: Side, signal: AbortSignal): Promise<ReadonlyMap<number, Partition>> => {
  const table = await readPartitions({ sizeBytes: disk.sizeBytes, read: readerOf(disk, signal) })
  const { imageName: image, version } = ref
  if (table.kind === "damaged")
    throw fail("PARTITION_TABLE_DAMAGED", { image, version: version.number, why: table.why })
  return new Map(table.partitions.map((partition) => [partition.offset, partition]))
}

const systemOf = async (disk: Disk, partition: Partition | undefined, signal: AbortSignal) =>
  partition &&
  fileSystemOf(await readerOf(disk, signal)(partition.offset, Math.min(partition.sizeBytes, SIGNATURE_BYTES)))

/** How much of each range the runs touch; ranges may lie over one another where the disk was partitioned anew. */
const changedBytes = async (
  offsets: ReadonlyArray<number>,
  sizes: ReadonlyArray<number>,
  runs: Iterable<Difference>,
  signal: AbortSignal,
): Promise<ReadonlyArray<number>> => {
  const sums = offsets.map(() => 0)
  let count = 0
  for (const { offset, length } of runs) {
    for (const [i, start] of offsets.entries())
      sums[i]! += Math.max(0, Math.min(offset + length, start + sizes[i]!) - Math.max(offset, start))
    if (++count % RUNS_A_TURN === 0) await setImmediate()
    if (signal.aborted) throw fail("CANCELLED", { what: "the comparison" })
  }
  return sums
}
