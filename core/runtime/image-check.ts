/**
 * The job that reads a version: the first time it makes the checksum sidecar, later it compares all of it with that.
 *
 * **Details** It opens the files itself, past the cache, so that it sees what the storage answers. A file that changes while it is read is
 * refused, and so is one that is not the recorded one and has no checksums yet. One that has, and whose every byte is right, is accepted
 * as it is now. The sidecar is on disk before ImageChecked names it; one that was lost is made again, if the image still gives it byte for byte.
 *
 * The first check of a committed version whose parent is verified reads only the clusters that its layer touched: all others are the parent's, and so
 * are their checksums. That of an image goes on where one came to that was stopped (check-part.ts).
 */
import { createHash } from "node:crypto"
import { computeChecksums, decodeChecksums, encodeChecksums } from "../block/checksums.ts"
import { extendChecksums } from "../block/layers/checksums.ts"
import type { LayerMap } from "../block/layers/map.ts"
import type { Check, VersionEntry } from "../domain/catalogue.ts"
import { fail, type ImagelinkError, isImagelinkError } from "../errors.ts"
import type { JobContext } from "../jobs.ts"
import { limits } from "../limits.ts"
import type { VolumeFolder } from "../storage/volume.ts"
import { openCheckPart, removeCheckPart } from "./check-part.ts"
import type { BadCluster } from "./damage-report.ts"
import type { Parts } from "./parts.ts"
import { openVersionDisk, type VersionDisk } from "./version-disk.ts"
import {
  baseRef,
  changed,
  filesDifference,
  identify,
  parentRef,
  refuseIfChanged,
  sinceRecorded,
  type VersionRef,
} from "./version-ref.ts"

export interface Checked {
  readonly check: Check
  /** The files as they are now, if they are not as they were recorded and every byte is. */
  readonly files?: VersionEntry["files"]
  /** CRC-32C of each cluster, as recorded. */
  readonly table: Uint32Array
  /** The bad clusters that `check` lists. */
  readonly bad: ReadonlyArray<BadCluster>
}

type CheckMeans = Pick<Parts, "opener" | "layerMaps" | "sidecars">

/** @throws IMAGE_FILE_NOT_FOUND IMAGE_ACCESS_DENIED IMAGE_CHANGED LAYER_MAPS_FULL IO_ERROR STORE_DAMAGED CANCELLED */
export const checkVersion = async (means: CheckMeans, ref: VersionRef, job: JobContext): Promise<Checked> => {
  const recorded = await loadTable(means.sidecars, ref).catch(damageOf)
  const opened = await openVersionDisk(means, ref)
  try {
    return await judge(means, ref, recorded, opened, job)
  } finally {
    await opened.disk.close()
  }
}

const judge = async (
  { opener, sidecars }: CheckMeans,
  ref: VersionRef,
  recorded: Uint32Array | ImagelinkError | undefined,
  { disk, files, map }: VersionDisk,
  job: JobContext,
): Promise<Checked> => {
  if (disk.sizeBytes !== Number(ref.version.sizeBytes)) throw changed(ref, "its size changed")
  const onProgress = (done: number, total: number) => job.progress({ done, total, unit: "bytes" })
  const options = { signal: job.signal, onProgress }
  const parent = recorded === undefined && map !== undefined ? await parentTable(sidecars, ref) : undefined
  const isFirst = recorded === undefined && map === undefined
  const part = isFirst ? await openCheckPart(sidecars, ref, files) : undefined
  const read = await (parent === undefined
    ? computeChecksums(disk, { ...options, ...(part && { part }) })
    : extendChecksums(parent, map!, disk, options))
  if (filesDifference(files, await identify(opener, ref)) !== undefined)
    throw changed(ref, "it changed while it was read")
  const identity = files.map((file) => file.identity)
  const since = sinceRecorded(ref, identity)
  const known = isImagelinkError(recorded) ? await makeAgain(sidecars, ref, read, recorded) : recorded
  if (known === undefined) {
    if (since !== undefined) throw changed(ref, since)
    if (map !== undefined) await refuseIfChanged(opener, baseRef(ref))
    return first(sidecars, ref, read)
  }
  const checked = compared(ref, known, read, map)
  if (since === undefined || checked.check.result === "mismatch") return checked
  const now = files.map((f) => ({ path: f.path, sizeBytes: String(f.sizeBytes), identity: f.identity }))
  return { ...checked, files: now }
}

/** The checksums of the version that this one is made on, if those were right when it was last read. */
const parentTable = async (sidecars: VolumeFolder, ref: VersionRef): Promise<Uint32Array | undefined> => {
  const parent = parentRef(ref)
  if (parent?.version.check?.result !== "verified") return undefined
  const table = await loadTable(sidecars, parent).catch(damageOf)
  return isImagelinkError(table) ? undefined : table
}

/** A checksum file that is damaged or missing; anything else is thrown on. */
const damageOf = (e: unknown): ImagelinkError => {
  if (isImagelinkError(e) && e.code === "STORE_DAMAGED") return e
  throw e
}

/** The lost checksum file, from the image: it is the recorded one exactly if it has the SHA-256 in the log. @throws the damage, if it has not */
const makeAgain = async (sidecars: VolumeFolder, ref: VersionRef, table: Uint32Array, damage: ImagelinkError) => {
  const { sidecar, sha256 } = ref.version.check!.checksums
  const bytes = sidecarBytes(ref, table)
  if (sha256Of(bytes) !== sha256) throw damage
  await sidecars.replaceFile(sidecar, bytes)
  return table
}

const sidecarBytes = ({ imageId, version }: VersionRef, table: Uint32Array): Uint8Array =>
  encodeChecksums({ imageId, version: version.number, sizeBytes: Number(version.sizeBytes), table })

const sha256Of = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex")

const first = async (sidecars: VolumeFolder, ref: VersionRef, table: Uint32Array): Promise<Checked> => {
  const name = `${ref.imageId}-v${ref.version.number}.crc`
  const bytes = sidecarBytes(ref, table)
  await sidecars.replaceFile(name, bytes)
  await removeCheckPart(sidecars, ref.imageId)
  const sha256 = sha256Of(bytes)
  const checksums = {
    algorithm: "crc32c",
    clusterBytes: limits.clusterBytes,
    clusters: table.length,
    sidecar: name,
    sha256,
  } as const
  return { table, bad: [], check: { result: "verified", checksums, mismatches: { count: 0, clusters: [] } } }
}

const compared = (ref: VersionRef, known: Uint32Array, read: Uint32Array, map: LayerMap | undefined): Checked => {
  const bad: Array<number> = []
  for (let cluster = 0; cluster < known.length; cluster++) if (known[cluster] !== read[cluster]) bad.push(cluster)
  const mismatches = { count: bad.length, clusters: bad.slice(0, limits.checkClustersListedMax) }
  const { checksums } = ref.version.check!
  const ownerOf = (cluster: number) => map?.contentOf(cluster) || baseRef(ref).version.number
  const listed = mismatches.clusters.map((cluster) => ({ cluster, owner: ownerOf(cluster) }))
  return {
    table: known,
    bad: listed,
    check: { result: bad.length === 0 ? "verified" : "mismatch", checksums, mismatches },
  }
}

/** The recorded checksums of a version, or undefined while it is unverified. @throws STORE_DAMAGED when the sidecar is not the recorded one */
export const loadTable = async (sidecars: VolumeFolder, ref: VersionRef): Promise<Uint32Array | undefined> => {
  const check = ref.version.check
  if (check === null) return undefined
  const { sidecar, sha256 } = check.checksums
  const bytes = await sidecars.readFile(sidecar)
  const file = `${sidecars.path}/${sidecar}`
  if (bytes === undefined) throw fail("STORE_DAMAGED", { file, why: "the checksum file that the log names is missing" })
  if (sha256Of(bytes) !== sha256)
    throw fail("STORE_DAMAGED", { file, why: "the checksum file does not have the SHA-256 that the log recorded" })
  const decoded = decodeChecksums(bytes)
  if (!decoded.ok) throw fail("STORE_DAMAGED", { file, why: decoded.why })
  return decoded.checksums.table
}
