/**
 * Which overlay generation is a slot's current one, told by the link and by the record of the client's boots. Pure.
 *
 *     g12       made for log position 12, over which boots pass: kept, super, or of a client that never showed a boot id
 *     g12-b7    the same, made for the client's 7th boot
 *
 * | who asks                               | gets                                                                              |
 * | -------------------------------------- | --------------------------------------------------------------------------------- |
 * | the current boot, where it has a disk  | that one, though the link may name another by now; refused once it was reset      |
 * | the current boot, elsewhere; a new one | the link's                                                                        |
 * | nobody says which boot                 | the link's; after a reset for the next boot, the one before, while it is in use   |
 */
import type { LinkEntry } from "../domain/catalogue.ts"
import type { BootRecord, SlotRecord } from "./boot-record.ts"

export interface Generation {
  readonly epoch: number
  /** Which boot of the client it was made for; 0 where boots pass over it. */
  readonly serial: number
}

export const generationName = ({ epoch, serial }: Generation): string =>
  serial > 0 ? `g${epoch}-b${serial}` : `g${epoch}`

export const newNameOf = (generation: Generation): string => `new-${generationName(generation)}`

/** Of a generation, or of one that a crash left half made. */
export const parseGeneration = (name: string): Generation | undefined => {
  const [, epoch, serial] = /^(?:new-)?g([1-9]\d*)(?:-b([1-9]\d*))?$/.exec(name) ?? []
  return epoch === undefined ? undefined : { epoch: Number(epoch), serial: Number(serial ?? 0) }
}

export const policyOf = (link: LinkEntry): SlotRecord["policy"] => (link.superVersion === null ? link.overlay : "super")

/** What the link gives to the boot with this number. */
export const linkGeneration = (link: LinkEntry, serial: number): Generation => ({
  epoch: link.epoch,
  serial: policyOf(link) === "discard" ? serial : 0,
})

/** What `linkGeneration` gives unless it is older: where a reset waits for the next boot. */
export const armedGeneration = (link: LinkEntry, serial: number): Generation | undefined =>
  link.armed === undefined ? undefined : { ...linkGeneration(link, serial), epoch: link.armed }

export const recordedGeneration = ({ epoch, policy, serial }: SlotRecord): Generation => ({
  epoch,
  serial: policy === "discard" ? serial : 0,
})

/** A boot's disk is its own until it is reset or its writes were taken; a new link is for the next boot. */
export const isGood = ({ epoch, policy }: SlotRecord, link: LinkEntry): boolean =>
  policy === "super" ? link.superVersion !== null && epoch === link.epoch : epoch >= link.since

/** What was recorded of a slot, if the current boot has been there. */
export const ofCurrentBoot = (record: BootRecord, slot: number): SlotRecord | undefined =>
  record.slots.find((s) => s.slot === slot && s.serial === record.serial)

/** The record says that this generation was made, so it must be there. */
export const wasMade = (record: BootRecord, slot: number, { epoch, serial }: Generation): boolean =>
  record.slots.some((s) => {
    const made = recordedGeneration(s)
    return s.slot === slot && made.epoch === epoch && made.serial === serial
  })

/** The generations of a slot that somebody may ask for: of the link, and of the boot that runs. */
export const currentGenerations = (
  link: LinkEntry | undefined,
  slot: number,
  record: BootRecord,
): ReadonlyArray<Generation> => {
  if (link === undefined) return []
  const running = ofCurrentBoot(record, slot)
  const own = running !== undefined && isGood(running, link) ? [recordedGeneration(running)] : []
  return [linkGeneration(link, record.serial), ...own]
}

/**
 * Whether a generation has ended. What is newer than anything the log or the record knows has not: then they are the ones that are behind.
 *
 * @param newest an epoch that nothing of this slot was made for yet, where it is linked no more
 */
export const hasEnded = (
  { epoch, serial }: Generation,
  link: LinkEntry | undefined,
  record: BootRecord,
  newest: number,
): boolean => {
  if (link === undefined) return epoch < newest
  if (epoch !== link.epoch) return epoch < link.epoch
  return policyOf(link) === "discard" && serial < record.serial
}
