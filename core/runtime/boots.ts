/**
 * Boot ids as a service: made for a boot script that is really fetched, judged when a disk is asked for with one.
 *
 * | a boot id that is                                    | is        |
 * | ---------------------------------------------------- | --------- |
 * | not of this site and client                          | refused, BOOT_ID_INVALID |
 * | the recorded one                                     | current, however old it is |
 * | older than the recorded one, seen before or not      | refused, OVERLAY_RETIRED, and reported once |
 * | newer, and fetched within the last hour              | new: its first login makes it the current one |
 * | newer, but older than that                           | refused, BOOT_ID_EXPIRED |
 *
 * **Gotchas** Clocks are set back. So a boot id is made later than the recorded one, and later than the one before, whatever the clock says;
 * and one from the future is only one that was made before the clock was set.
 */
import { isDeepStrictEqual } from "node:util"
import { fail } from "../errors.ts"
import { limits } from "../limits.ts"
import type { VolumeFolder } from "../storage/volume.ts"
import type { BootIds, BootShown } from "./boot-ids.ts"
import { BOOT_RECORD, type BootRecord, encodeBootRecord, noBoots, readBootRecord } from "./boot-record.ts"

export interface BootClient {
  /** The immutable one. */
  readonly id: string
  readonly name: string
}

/** What the boot script's renderer and a login are given. */
export interface Boots {
  /** A new boot id, for a script that is really fetched; a preview makes none. */
  issue(client: BootClient): Promise<string>
  /** Whether a login with it goes on with the current boot, or begins a new one. @throws BOOT_ID_INVALID BOOT_ID_EXPIRED OVERLAY_RETIRED OVERLAY_DAMAGED */
  judge(client: BootClient, bootId: string): Promise<"current" | "new">
  /** The password of a boot; undefined: this site did not make its boot id for this client. */
  password(client: BootClient, bootId: string): string | undefined
}

export interface BootService extends Boots {
  /** @throws BOOT_ID_INVALID */
  read(client: BootClient, bootId: string): BootShown
  /** As `judge`, against a record that is known. @throws BOOT_ID_EXPIRED OVERLAY_RETIRED */
  standing(client: BootClient, slot: number, shown: BootShown, record: BootRecord): "current" | "new"
  readonly records: BootRecords
  readonly now: () => number
}

export interface BootRecords {
  /** @throws OVERLAY_DAMAGED */
  of(clientId: string): Promise<BootRecord | undefined>
  /** Changes made at the same time follow each other. What settles survives a power loss. @throws NO_SPACE IO_ERROR OVERLAY_DAMAGED */
  change(clientId: string, change: (record: BootRecord) => BootRecord): Promise<void>
  /** Begins a record, in place of one that cannot be read. */
  begin(clientId: string, record: BootRecord): Promise<void>
  /** The client and its folder are gone. */
  forget(clientId: string): void
}

/** Records in the overlays' folder. This process is the only one that changes them. */
export const makeBootRecords = (overlays: VolumeFolder): BootRecords => {
  const known = new Map<string, BootRecord | undefined>()
  const turns = new Map<string, Promise<unknown>>()
  /** What a record was before its replacement failed. Whether it was made is for the disk to say; if it was, it may not last. */
  const unsure = new Map<string, BootRecord | undefined>()

  const of = async (clientId: string): Promise<BootRecord | undefined> => {
    if (known.has(clientId)) return known.get(clientId)
    const record = await readBootRecord(overlays.folder(clientId))
    if (unsure.has(clientId)) {
      if (record !== undefined && !isDeepStrictEqual(record, unsure.get(clientId))) await put(clientId, record)
      unsure.delete(clientId)
    }
    known.set(clientId, record)
    return record
  }
  const put = async (clientId: string, record: BootRecord): Promise<void> => {
    if (!unsure.has(clientId)) unsure.set(clientId, known.get(clientId))
    known.delete(clientId)
    await overlays.folder(clientId).replaceFile(BOOT_RECORD, encodeBootRecord(record))
    unsure.delete(clientId)
    known.set(clientId, record)
  }
  /** One reading or change of a client's record at a time, so that none puts an older one back in memory. */
  const inTurn = <A>(clientId: string, work: () => Promise<A>): Promise<A> => {
    const mine = (turns.get(clientId) ?? Promise.resolve()).then(work)
    const ended = mine
      .catch(() => {})
      .finally(() => {
        if (turns.get(clientId) === ended) turns.delete(clientId)
      })
    turns.set(clientId, ended)
    return mine
  }

  return {
    of: (clientId) => inTurn(clientId, () => of(clientId)),
    change: (clientId, change) =>
      inTurn(clientId, async () => {
        const before = await of(clientId)
        const record = change(before ?? noBoots)
        if (record !== before) await put(clientId, record)
      }),
    begin: (clientId, record) => inTurn(clientId, () => put(clientId, record)),
    forget: (clientId) => void known.delete(clientId),
  }
}

export interface StaleBoot {
  readonly client: string
  /** Its name. */
  readonly boot: string
  readonly made: number
  /** When the current boot began. */
  readonly began: number
}

export interface BootsOptions {
  readonly ids: BootIds
  readonly records: BootRecords
  /** UTC milliseconds. */
  readonly now: () => number
  /** From a cryptographic source, except in specs. */
  readonly random: (bytes: number) => Uint8Array
  /** A retired boot id was shown, for the first time. */
  readonly onStale: (stale: StaleBoot) => void
}

export const makeBoots = ({ ids, records, now, random, onStale }: BootsOptions): BootService => {
  const reported = new Set<string>()
  let lastMade = 0

  const report = (client: BootClient, { boot, at: made }: BootShown, began: number): void => {
    if (reported.has(boot) || reported.size >= limits.retiredBootsReportedMax) return
    reported.add(boot)
    onStale({ client: client.name, boot, made, began })
  }

  const read = (client: BootClient, bootId: string): BootShown => {
    const judged = ids.judge(bootId, client.id)
    if (!judged.ok) throw fail("BOOT_ID_INVALID", { client: client.name, why: judged.why })
    return judged
  }

  const standing = (client: BootClient, slot: number, shown: BootShown, record: BootRecord): "current" | "new" => {
    if (shown.boot === record.boot) return "current"
    if (record.boot !== null && isOlder(shown, record.at, record.boot)) {
      report(client, shown, record.began)
      throw fail("OVERLAY_RETIRED", { client: client.name, slot, began: new Date(record.began).toISOString() })
    }
    const minutes = limits.bootIdMinutesMax
    if (now() - shown.at > minutes * 60_000)
      throw fail("BOOT_ID_EXPIRED", { client: client.name, made: new Date(shown.at).toISOString(), minutes })
    return "new"
  }

  return {
    records,
    now,
    read,
    standing,
    async issue({ id }) {
      // Where the record cannot be read, its disk is refused to whoever logs in; that is said there.
      const current = (await records.of(id).catch(() => undefined))?.at ?? 0
      lastMade = Math.max(now(), current + 1, lastMade + 1)
      return ids.make(id, lastMade, random)
    },
    password: ({ id }, bootId) => (ids.judge(bootId, id).ok ? ids.password(bootId, id) : undefined),
    async judge(client, bootId) {
      const shown = read(client, bootId)
      return standing(client, 0, shown, (await records.of(client.id)) ?? noBoots)
    },
  }
}

/** Two servers of a site may make one in the same millisecond; then the name decides, so that each of them decides alike. */
const isOlder = ({ at, boot }: BootShown, currentAt: number, current: string): boolean =>
  at < currentAt || (at === currentAt && boot < current)
