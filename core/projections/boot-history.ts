/** The boots of each client: how many there were, and what the last ones got. The log has them all. */
import { isKnownEvent } from "../domain/event-versions.ts"
import type { EventData } from "../domain/events.ts"
import { limits } from "../limits.ts"
import { type Projection, sortKeys } from "./projection.ts"

export interface BootRow extends EventData<"ClientBooted"> {
  readonly position: number
  readonly at: number
}

export interface BootsOfClient {
  readonly count: number
  /** Oldest first, at most `bootsShownMax`. */
  readonly last: ReadonlyArray<BootRow>
}

export interface BootHistory {
  /** By client id, also of clients that are gone. */
  readonly clients: Map<string, BootsOfClient>
}

/** The last boots of one client, or of all of them by position. */
export const bootRows = ({ clients }: BootHistory, clientId?: string): Array<BootRow> => {
  const chosen = clientId === undefined ? [...clients.values()] : [clients.get(clientId) ?? { last: [] }]
  return chosen.flatMap(({ last }) => last).sort((a, b) => a.position - b.position)
}

export const bootHistory: Projection<BootHistory> = {
  name: "boot-history",
  version: 1,
  initial: () => ({ clients: new Map() }),
  apply: ({ clients }, recorded) => {
    if (!isKnownEvent(recorded)) return false
    if (recorded.type !== "ClientBooted") return true
    const { data, position, at } = recorded
    const { count, last } = clients.get(data.client.id) ?? { count: 0, last: [] }
    const row = { ...data, position, at }
    clients.set(data.client.id, { count: count + 1, last: [...last, row].slice(-limits.bootsShownMax) })
    return true
  },
  encode: ({ clients }) => sortKeys([...clients]),
  decode: (json) => ({ clients: new Map(json as ReadonlyArray<[string, BootsOfClient]>) }),
}
