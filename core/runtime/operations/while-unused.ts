/**
 * Carries out a change that takes overlays away, with their slots held, so that no session begins on what is going.
 *
 * **Details** Slots belong to clients, and clients are asked for by name; while older sessions were waited for, a name may have become
 * another client's. So names are looked up again once the slots are held, and the change is decided on the catalogue in which they were:
 * if the log moved on in between, everything begins anew, a bounded number of times.
 */
import type { Catalogue, ClientEntry } from "../../domain/catalogue.ts"
import { findClients } from "../../domain/lookup.ts"
import { fail, ImagelinkError, isImagelinkError } from "../../errors.ts"
import { limits } from "../../limits.ts"
import type { DiskService } from "../disks.ts"
import type { Changed } from "../site/operation.ts"
import type { CallOptions } from "../site.ts"

type Options = Omit<CallOptions, "onItem">

export interface Held {
  readonly disks: DiskService
  readonly catalogue: () => Promise<Catalogue>
  readonly names: ReadonlyArray<string>
  readonly slotsOfEach: ReadonlyArray<number>
  readonly options: Options
  readonly change: (options: Options) => Promise<Changed>
}

const sameClients = (a: ReadonlyArray<ClientEntry>, b: ReadonlyArray<ClientEntry> | ImagelinkError): boolean =>
  !(b instanceof ImagelinkError) && a.length === b.length && a.every((client, i) => client.id === b[i]!.id)

const inUse = (disks: DiskService, slots: ReadonlyArray<{ client: string; clientId: string; slot: number }>): void => {
  const used = slots
    .map((s) => ({ client: s.client, slot: s.slot, sessions: disks.sessions(s) }))
    .filter((u) => u.sessions > 0)
  if (used[0] === undefined) return
  const details = used.map((u) => `${u.client} is running`)
  throw fail("OVERLAY_IN_USE", used[0], used.length > 1 ? { details } : {})
}

/** One attempt, for the clients that the names meant at `seen`. @throws LOG_CONFLICT when they mean others once the slots are held */
const attempt = async (held: Held, clients: ReadonlyArray<ClientEntry>, seen: number): Promise<Changed> => {
  const { disks, catalogue, names, slotsOfEach, options, change } = held
  const slots = clients.flatMap((c) => slotsOfEach.map((slot) => ({ client: c.name, clientId: c.id, slot })))
  const release = await disks.hold(slots)
  try {
    const now = await catalogue()
    const { position } = now
    if (!sameClients(clients, findClients(now, names))) throw fail("LOG_CONFLICT", { expected: seen, actual: position })
    inUse(disks, slots)
    const linked = slots.filter(({ clientId, slot }) => now.clients.get(clientId)!.links.has(slot))
    const answer = await change({ expectedPosition: position, ...options })
    await disks.sweep(linked)
    return answer
  } finally {
    release()
  }
}

/** @throws OVERLAY_IN_USE LOG_CONFLICT, and what the change is refused for */
export const whileUnused = async (held: Held): Promise<Changed> => {
  const { catalogue, names, options, change } = held
  const again = (e: unknown) =>
    isImagelinkError(e) && e.code === "LOG_CONFLICT" && options.expectedPosition === undefined
  for (let tries = 1; ; tries++) {
    const now = await catalogue()
    const clients = findClients(now, names)
    // The change refuses them too; or it was carried out before under its command id, and answers that.
    if (clients instanceof ImagelinkError) return change(options)
    try {
      return await attempt(held, clients, now.position)
    } catch (e) {
      if (!again(e) || tries > limits.commandConflictRetriesMax) throw e
    }
  }
}
