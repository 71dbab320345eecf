/**
 * The overlays that were made on a version, and would open over nothing without it.
 *
 * **Details** The log does not say them: a link that follows keeps its overlay on the version it booted, whatever became current since. So the
 * generations themselves are asked: those that are current, and those that sessions use.
 */
import { readHeader } from "../block/overlay/header.ts"
import type { Catalogue, ClientEntry } from "../domain/catalogue.ts"
import { compareNatural } from "../domain/natural.ts"
import { noBoots, readBootRecord } from "./boot-record.ts"
import { currentGenerations, generationName, parseGeneration } from "./generations.ts"
import { OVERLAYS } from "./overlay-folders.ts"
import type { Parts } from "./parts.ts"

/** As `PC-001 slot 0, whose overlay was made on it`, in natural order. */
export const overlaysOn = async (
  parts: Parts,
  { clients }: Catalogue,
  imageId: string,
  version: number,
): Promise<ReadonlyArray<string>> => {
  const found: Array<string> = []
  for (const client of [...clients.values()].sort((a, b) => compareNatural(a.name, b.name)))
    for (const slot of await slotsOn(parts, client, imageId, version))
      found.push(`${client.name} slot ${slot}, whose overlay was made on it`)
  return found
}

const slotsOn = async ({ data, serving }: Parts, client: ClientEntry, imageId: string, version: number) => {
  const slots: Array<number> = []
  const own = data.folder(OVERLAYS).folder(client.id)
  const record = (await readBootRecord(own).catch(() => undefined)) ?? noBoots
  for (const [slot, link] of [...client.links].sort(([a], [b]) => a - b)) {
    const inUse = (serving?.disks.sessions({ clientId: client.id, slot }) ?? 0) > 0
    const folder = own.folder(String(slot))
    const generations = inUse
      ? (await folder.list()).flatMap((name) => parseGeneration(name) ?? [])
      : currentGenerations(link, slot, record)
    const names = generations.map(generationName)
    for (const name of names) {
      // A damaged one opens over nothing anyway.
      const header = await readHeader(folder.folder(name)).catch(() => undefined)
      if (header?.imageId !== imageId || header.version !== version) continue
      slots.push(slot)
      break
    }
  }
  return slots
}
