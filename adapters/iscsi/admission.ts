/**
 * From a login that named a target to the units it gets: leases, logical units, and the status of a refusal.
 *
 * | what goes wrong with a slot                              | answer                                              |
 * | -------------------------------------------------------- | --------------------------------------------------- |
 * | no such client; no disk in any slot                      | login refused, 0203 target not found                |
 * | another peer's                                           | login refused, 0202 authorization failure           |
 * | the boot is over                                         | login refused, 0204 target removed                  |
 * | the server is stopping; a PC with this MAC runs already  | login refused, 0301 service unavailable             |
 * | the image is not there, the overlay is lost, …           | the unit is there, NOT READY; the log says why      |
 *
 * **Details** The slots are those that the peer may see (`Disks.list`); LUN = slot. A slot that could not be opened is tried again when a
 * session asks for it later, and one that is linked later is opened then (session-units.ts).
 */
import type { Disks, Lease, Peer } from "../../core/block/lease.ts"
import { type ErrorCode, fail, type ImagelinkError, isImagelinkError } from "../../core/errors.ts"
import type { TargetName } from "./names.ts"
import { LOGIN_AUTHORIZATION, LOGIN_NOT_FOUND, LOGIN_TARGET_REMOVED, LOGIN_UNAVAILABLE } from "./pdu.ts"

export interface Opened {
  readonly slot: number
  readonly lease: Lease
}

export interface Unopened {
  readonly slot: number
  readonly error: ImagelinkError
}

export type Admitted =
  | { readonly kind: "admitted"; readonly opened: ReadonlyArray<Opened>; readonly unopened: ReadonlyArray<Unopened> }
  | { readonly kind: "refused"; readonly status: number; readonly error: ImagelinkError }

const refusals: Partial<Record<ErrorCode, number>> = {
  CLIENT_NOT_FOUND: LOGIN_NOT_FOUND,
  LINK_NOT_FOUND: LOGIN_NOT_FOUND,
  EXPORT_DENIED: LOGIN_AUTHORIZATION,
  OVERLAY_RETIRED: LOGIN_TARGET_REMOVED,
  CLIENT_TWICE: LOGIN_UNAVAILABLE,
  CLOSED: LOGIN_UNAVAILABLE,
  CANCELLED: LOGIN_UNAVAILABLE,
}

/** The status that a login ends with; undefined: its unit is not ready. A boot id that is not judged good ends it, whatever is wrong with it. */
export const refusalOf = (e: ImagelinkError): number | undefined =>
  refusals[e.code] ?? (e.code.startsWith("BOOT_") ? LOGIN_TARGET_REMOVED : undefined)

/** One slot of a session that runs. @throws what attach throws */
export const openSlot = async (disks: Disks, target: TargetName, slot: number, peer: Peer): Promise<Opened> => ({
  slot,
  lease: await disks.attach(target.client, slot, target.boot, peer),
})

/** The slots of a client that this peer may see. */
export const slotsOf = (disks: Pick<Disks, "list">, client: string, peer: Peer): ReadonlyArray<number> => {
  const prefix = `client/${client}/`
  return disks
    .list(peer)
    .filter((d) => d.name.toLowerCase().startsWith(prefix))
    .map((d) => Number(d.name.slice(prefix.length)))
    .filter(Number.isInteger)
}

export const ours = (e: unknown): ImagelinkError =>
  isImagelinkError(e) ? e : fail("IO_ERROR", { why: e instanceof Error ? e.message : String(e) }, { underlying: e })

export const admit = async (disks: Disks, target: TargetName, peer: Peer): Promise<Admitted> => {
  const listed = slotsOf(disks, target.client, peer)
  const opened: Array<Opened> = []
  const unopened: Array<Unopened> = []
  // Where nothing is listed, asking for the first slot says why.
  for (const slot of listed.length === 0 ? [0] : listed) {
    try {
      opened.push({ slot, lease: await disks.attach(target.client, slot, target.boot, peer) })
    } catch (e) {
      const error = ours(e)
      const status = refusalOf(error)
      if (status !== undefined) {
        await Promise.allSettled(opened.map(({ lease }) => lease.release()))
        return { kind: "refused", status, error }
      }
      unopened.push({ slot, error })
    }
  }
  return { kind: "admitted", opened, unopened }
}
