/** The last changes of each client, as positions: `client show` reads those few events instead of the whole log. */
import { isKnownEvent } from "../domain/event-versions.ts"
import { limits } from "../limits.ts"
import { subjectOf } from "./client-history.ts"
import { type Projection, sortKeys } from "./projection.ts"

export interface LastChanges {
  /** By client id; oldest first. */
  readonly clients: Map<string, Array<number>>
}

export const lastChanges: Projection<LastChanges> = {
  name: "last-changes",
  version: 1,
  initial: () => ({ clients: new Map() }),
  apply: ({ clients }, recorded) => {
    if (!isKnownEvent(recorded)) return false
    const id = subjectOf(recorded).client?.id
    if (id === undefined) return true
    const positions = clients.get(id) ?? []
    positions.push(recorded.position)
    if (positions.length > limits.lastChangesMax) positions.shift()
    clients.set(id, positions)
    return true
  },
  encode: ({ clients }) => sortKeys([...clients]),
  decode: (json) => ({
    clients: new Map(
      (json as ReadonlyArray<[string, ReadonlyArray<number>]>).map(([id, positions]) => [id, [...positions]]),
    ),
  }),
}
