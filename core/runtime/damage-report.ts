/** Bad clusters in words that an operator can act on: which LBAs, in which file, and where a backup has that file. */
import { fail, type ImagelinkError } from "../errors.ts"
import { limits } from "../limits.ts"
import { inData } from "../storage/opener.ts"
import { openBackups } from "./backup/known-backups.ts"
import type { Parts } from "./parts.ts"
import type { DamagedRange } from "./site/images.ts"
import type { VersionRef } from "./version-ref.ts"

/** A cluster, and the number of the version whose file has its bytes. */
export interface BadCluster {
  readonly cluster: number
  readonly owner: number
}

const CLUSTER = limits.clusterBytes

/** In order; neighbours in one file are one range. */
export const damagedRanges = async (
  { data, log, opener }: Pick<Parts, "data" | "log" | "opener">,
  ref: VersionRef,
  bad: ReadonlyArray<BadCluster>,
): Promise<ReadonlyArray<DamagedRange>> => {
  if (bad.length === 0) return []
  const copyOf = await openBackups(data)
  const { storeId } = log.site
  const rangeOf = (first: number, end: number, owner: number): DamagedRange => {
    const offset = first * CLUSTER
    const length = Math.min(end * CLUSTER, Number(ref.version.sizeBytes)) - offset
    const lba = [
      offset / limits.logicalBlockBytes,
      Math.ceil((offset + length) / limits.logicalBlockBytes) - 1,
    ] as const
    const file = fileOf(opener, ref, owner)
    const copy = copyOf({ storeId, imageId: ref.imageId, version: owner, path: file })
    return { offset, length, lba, file, backup: copy ?? null }
  }
  const ranges: Array<DamagedRange> = []
  for (let i = 0, from = 0; i < bad.length; i++) {
    const { cluster, owner } = bad[i]!
    const next = bad[i + 1]
    if (next?.cluster === cluster + 1 && next.owner === owner) continue
    ranges.push(rangeOf(bad[from]!.cluster, cluster + 1, owner))
    from = i + 1
  }
  return ranges
}

/** The file that has a version's own bytes: of a layer the one beside its tables. */
const fileOf = ({ pathOf }: Parts["opener"], { version, below }: VersionRef, owner: number): string => {
  const { storage, files } = [version, ...below].find(({ number }) => number === owner) ?? version
  const named = files.at(storage.kind === "data" ? -1 : 0)?.path ?? storage.kind
  if (storage.kind !== "data") return named
  const name = files.length === 1 ? String(storage.config.file) : named
  return pathOf(inData(name)) ?? name
}

/** The error of the first range, as a client's read of its first cluster ends with it. */
export const damageError = (ref: VersionRef, { offset, length, file, backup }: DamagedRange): ImagelinkError => {
  const place = { image: ref.imageName, version: ref.version.number, offset, length: Math.min(length, CLUSTER) }
  return fail("CRC_MISMATCH", { ...place, path: file, ...(backup && { backup: backup.path }) })
}
