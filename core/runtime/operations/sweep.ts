/** After a change of links: what a new link retired goes now, or when its last session leaves. */

import type { Parts } from "../parts.ts"
import type { Changed } from "../site/operation.ts"

/** A link's event has both; one of a group or of a client as a whole concerns no slot. */
interface Touched {
  readonly client?: { readonly id: string }
  readonly slot?: number
}

export const sweeper =
  (parts: Parts) =>
  async (changed: Changed): Promise<Changed> => {
    const slots = changed.events.flatMap((e) => {
      const { client, slot } = e.data as Touched
      return client === undefined || slot === undefined ? [] : [{ clientId: client.id, slot }]
    })
    if (!changed.dryRun) await parts.serving?.disks.sweep(slots)
    return changed
  }
