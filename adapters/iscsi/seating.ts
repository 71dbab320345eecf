/**
 * A login that was accepted takes its seat: its disks are opened, the session it takes the place of ends, and its units are there.
 *
 *     opened ─► the one before has ended ─► units ─► nobody else of its name ─► joined
 *        └► refused                                                    └► the connection has gone: all is given back
 */
import type { ImagelinkError } from "../../core/errors.ts"
import type { ScsiNexus } from "../scsi/nexus.ts"
import type { Opened, Unopened } from "./admission.ts"
import type { Wanted } from "./login.ts"
import type { Happening, Member, Portal } from "./portal.ts"
import { SessionUnits, type SessionUnitsInput } from "./session-units.ts"

export interface SeatingInput {
  readonly portal: Portal
  readonly wanted: Wanted
  readonly member: Member
  /** Nobody waits for the answer any more. */
  readonly gone: () => boolean
  readonly units: Omit<SessionUnitsInput, "portal" | "wanted" | "opened">
}

export type Seated =
  | { readonly kind: "refused"; readonly status: number; readonly error: ImagelinkError }
  | { readonly kind: "gone" }
  | {
      readonly kind: "seated"
      readonly nexus: ScsiNexus
      readonly units: SessionUnits
      /** What the log is to say. */
      readonly happenings: ReadonlyArray<Happening>
    }

/** What was opened is given back unless it is seated. */
export const seat = async ({ portal, wanted, member, gone, units: rest }: SeatingInput): Promise<Seated> => {
  const admitted = await portal.open(wanted.target!, rest.peer)
  if (admitted.kind === "refused") return admitted
  const { opened, unopened } = admitted
  const units = new SessionUnits({ ...rest, portal, wanted, opened })
  try {
    const reinstated = await portal.reinstate(wanted)
    const nexus = await portal.seat(wanted, opened, unopened, rest.abortTasks)
    // Another login of the same name may have come first while this one was on its way.
    while (portal.isTaken(wanted)) await portal.reinstate(wanted)
    if (!gone()) {
      portal.join(wanted, member)
      return { kind: "seated", nexus, units, happenings: told(wanted, opened, unopened, reinstated) }
    }
    portal.leave(wanted, member, nexus)
  } catch (e) {
    await units.release()
    throw e
  }
  await units.release()
  return { kind: "gone" }
}

const told = (
  { initiator, targetText, user }: Wanted,
  opened: ReadonlyArray<Opened>,
  unopened: ReadonlyArray<Unopened>,
  reinstated: boolean,
): ReadonlyArray<Happening> => {
  const target = targetText!
  const units = opened.map(({ slot, lease }) => `LUN ${slot}: ${lease.description}`)
  return [
    { type: "opened", initiator, target, user, units, reinstated },
    ...unopened.map(({ slot, error }) => ({ type: "not-ready" as const, target, lun: slot, error })),
  ]
}
