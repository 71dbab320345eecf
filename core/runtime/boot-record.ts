/**
 * What is remembered of a client's boots: `overlays/<client id>/boot`, replaced whole and synced before a login is answered.
 *
 *     { format, features, boot, at, serial, slots: [{ slot, epoch, policy, serial }], crc32c }
 *
 * **Details** Replacing it is the moment at which a boot becomes the current one, or its disk in a slot is promised to it. The disk is made
 * before, so what the record names is there; and what is there without being named was promised to nobody.
 *
 * It is beside the overlays and not in the log because it is about them alone: a boot must not wait for a log that cannot be written, and a
 * log that was restored has no overlays.
 */
import { crc32c } from "../bytes.ts"
import { fail } from "../errors.ts"
import { canonicalBytes } from "../log/canonical.ts"
import type { VolumeFolder } from "../storage/volume.ts"

export const BOOT_RECORD = "boot"
const FORMAT = 1

export interface SlotRecord {
  readonly slot: number
  readonly epoch: number
  readonly policy: "discard" | "keep" | "super"
  /** The newest boot that was given it. */
  readonly serial: number
}

export interface BootRecord {
  /** Name of the current boot (boot-ids.ts), or null before the first. */
  readonly boot: string | null
  /** When its boot script was fetched. */
  readonly at: number
  /** When it first logged in. */
  readonly began: number
  /** Counts the client's boots. */
  readonly serial: number
  /** What the current boot was given, and what was kept of those before; a slot at most once. */
  readonly slots: ReadonlyArray<SlotRecord>
}

/** Of a client that never showed a boot id. */
export const noBoots: BootRecord = { boot: null, at: 0, began: 0, serial: 0, slots: [] }

/** The record with one slot's entry put in. */
export const withSlot = (record: BootRecord, entry: SlotRecord): BootRecord => ({
  ...record,
  slots: [...record.slots.filter((s) => s.slot !== entry.slot), entry].sort((a, b) => a.slot - b.slot),
})

const checksum = (body: object): string => crc32c(canonicalBytes(body)).toString(16).padStart(8, "0")

export const encodeBootRecord = (record: BootRecord): Uint8Array => {
  const body = { format: FORMAT, features: { compatible: 0, incompatible: 0 }, ...record }
  return Buffer.from(`${JSON.stringify({ ...body, crc32c: checksum(body) })}\n`)
}

/** The client's record, or undefined when there is none. @throws OVERLAY_DAMAGED */
export const readBootRecord = async (client: VolumeFolder): Promise<BootRecord | undefined> => {
  const bytes = await client.readFile(BOOT_RECORD)
  if (bytes === undefined) return undefined
  const damaged = (why: string) => fail("OVERLAY_DAMAGED", { path: `${client.path}/${BOOT_RECORD}`, why })
  const { crc32c: stored, ...body } = parse(bytes)
  if (stored !== checksum(body)) throw damaged("it does not match its checksum")
  const { format, features, ...record } = body
  if (format !== FORMAT || (features as { incompatible?: unknown } | undefined)?.incompatible !== 0)
    throw damaged("it was written by a newer Imagelink")
  return record as unknown as BootRecord
}

const parse = (bytes: Uint8Array): Record<string, unknown> => {
  try {
    const value: unknown = JSON.parse(Buffer.from(bytes).toString("utf8"))
    return typeof value === "object" && value !== null ? { ...value } : {}
  } catch {
    return {}
  }
}
