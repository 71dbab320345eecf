/** What is hot in an image: shown, recorded in named windows, and carried to another server. */
import { setImmediate as turn } from "node:timers/promises"
import { ClusterTable } from "../../block/heat/cluster-table.ts"
import { BOOT, type Heat, isLabel, type KeptReads, rank, withReads } from "../../block/heat/heat.ts"
import { decodeHeat, encodeHeat } from "../../block/heat/heat-file.ts"
import { findImage } from "../../domain/lookup.ts"
import { fail, ImagelinkError } from "../../errors.ts"
import { limits } from "../../limits.ts"
import { catalogueProjection } from "../../projections/catalogue.ts"
import { makeHeatStore } from "../heat-store.ts"
import type { Parts } from "../parts.ts"
import type { ImageHeatAnswer } from "../site/image-tiers.ts"
import type { Operations } from "../site.ts"
import { openVersionDisk } from "../version-disk.ts"
import { baseRef, type VersionRef, versionRef } from "../version-ref.ts"

type Names = "image.heat" | "image.record" | "heat.export" | "heat.import"

const CLUSTER = limits.clusterBytes
const SHARES = [50, 90, 99, 100]

export const heatOperations = (parts: Parts): Operations<Names> => {
  const heat = parts.serving?.heat
  const store = heat?.store ?? makeHeatStore(parts.data)

  const refOf = async (name: string): Promise<VersionRef> => {
    const catalogue = await parts.views.state(catalogueProjection)
    const image = findImage(catalogue, name)
    if (image instanceof ImagelinkError) throw image
    if (image.draft !== null) throw fail("IMAGE_NOT_SEALED", { image: image.name })
    return versionRef(catalogue, image.id, image.current)
  }
  const heatOf = ({ imageId: id, imageName: name }: VersionRef): Promise<Heat> =>
    heat?.of({ id, name }) ?? store.load(id, name)

  return {
    "image.heat": async ({ name }) => {
      const ref = await refOf(name)
      return shown(ref, await heatOf(ref), heat?.booting(ref.imageId) ?? 0)
    },

    "image.record": async ({ name, label, seconds }, options) => {
      const { imageId: id, imageName: image } = await refOf(name)
      const refused = (why: string) => fail("COMMAND_INVALID", { why })
      if (!isLabel(label)) throw refused(`${JSON.stringify(label)} is no label: lower-case letters, digits and hyphens`)
      if (label === BOOT) throw refused(`${BOOT} is the label of boots, which a server records by itself`)
      const millis = seconds * 1000
      if (!(millis >= 1 && millis <= limits.heatWindowMillisMax))
        throw refused(`a window is up to ${limits.heatWindowMillisMax / 1000} seconds long, not ${seconds}`)
      if (heat === undefined) throw fail("HEAT_NOT_RECORDED", { image, why: "no server runs on this data folder" })
      const title = `record ${label} of ${image}`
      const recorded = await parts.jobs.run(
        title,
        (job) => heat.record({ id, name: image }, label, millis, job),
        options,
      )
      return { image, ...recorded }
    },

    "heat.export": async ({ name }) => {
      const ref = await refOf(name)
      const known = await heatOf(ref)
      if (known.kept.length === 0) throw fail("HEAT_NONE", { image: ref.imageName })
      return { image: ref.imageName, bytes: Buffer.from(encodeHeat(known)).toString("base64") }
    },

    "heat.import": async ({ name, bytes }) => {
      const ref = await refOf(name)
      const { imageId, imageName: image } = ref
      const refused = (why: string) => fail("HEAT_REFUSED", { image, why })
      const decoded = decodeHeat(Buffer.from(bytes, "base64"))
      if (!decoded.ok) throw refused(decoded.why)
      const { kept, sizeBytes } = decoded.heat
      const size = Number(ref.version.sizeBytes)
      if (kept.length === 0) throw refused("it has no recording")
      if (sizeBytes !== size) throw refused(`it is of a disk of ${sizeBytes} bytes, and ${image} has ${size}`)
      const mine = await broughtHere(parts, ref, kept)
      const now = await store.change(imageId, image, (known) =>
        mine.reduce((all, reads) => withReads(all, reads, size), known),
      )
      const taken = mine.filter((reads) => now.kept.includes(reads))
      return { image, recordings: taken.length, clusters: taken.reduce((sum, k) => sum + k.clusters.length, 0) }
    },
  }
}

const always = () => true

const shown = async (ref: VersionRef, heat: Heat, booting: number): Promise<ImageHeatAnswer> => {
  const sizeBytes = Number(ref.version.sizeBytes)
  const clusters = Math.ceil(sizeBytes / CLUSTER)
  const inPart = Math.ceil(clusters / limits.diffParts)
  const parts = new Array<number>(Math.ceil(clusters / inPart)).fill(0)
  const counted = new ClusterTable(1 + heat.kept.reduce((sum, k) => sum + k.clusters.length, 0))
  const labels: Array<ImageHeatAnswer["labels"][number]> = []
  for (const { label, recorded } of heat.labels) {
    const ofLabel = heat.kept.filter((k) => k.label === label)
    const ranking = await rank(heat, label, always, turn)
    const covers = SHARES.map((share) => ({ share, bytes: ranking.covering(share).length * CLUSTER }))
    for (const cluster of ranking.covering(100)) {
      if (cluster >= clusters || !counted.add(cluster, 0)) continue
      parts[Math.floor(cluster / inPart)]! += Math.min(CLUSTER, sizeBytes - cluster * CLUSTER)
    }
    const lastAt = ofLabel.at(-1)?.at ?? null
    labels.push({ label, recorded, kept: ofLabel.length, lastAt, reads: ranking.reads, covers })
  }
  return { image: ref.imageName, sizeBytes, labels, booting, partBytes: inPart * CLUSTER, parts }
}

/** The recordings of another image, as if they had been made of the current version of this one. */
const broughtHere = async (
  parts: Parts,
  ref: VersionRef,
  kept: ReadonlyArray<KeptReads>,
): Promise<ReadonlyArray<KeptReads>> => {
  const base = baseRef(ref).version.number
  const { disk, map } = await openVersionDisk(parts, ref)
  try {
    const versionOf = (cluster: number) => map?.contentOf(cluster) || base
    return kept.map((reads) => ({ ...reads, versions: reads.clusters.map(versionOf) }))
  } finally {
    await disk.close()
  }
}
