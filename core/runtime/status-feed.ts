/**
 * A server's status as a stream: whole once, and then what changed.
 *
 *     status   everything                        id of each: <run>-<number>
 *     changes  rows that are others than before, and who is gone
 *
 * **Details** Whoever comes back says the id that it saw last, and is told what is different now: each row once, as it is, however often it changed meanwhile. Numbers
 * count looks that found a change; a run is one start of the server, and of another one nothing is known, so that the whole is told again. All who follow share the looks.
 *
 * **Gotchas** Memory in use changes all the time and is no news by itself.
 */
import { limits } from "../limits.ts"
import type { ClientStatus, Status } from "./status.ts"

export interface StatusEvent extends Status {
  /** By MAC: no longer there. */
  readonly gone: ReadonlyArray<string>
}

export interface Told {
  readonly id: string
  /** Everything, or what changed. */
  readonly name: "status" | "changes"
  readonly event: StatusEvent
}

export interface StatusFeed {
  /** What is new since the event with that id; undefined: nothing. Without an id that is known, everything. */
  since(id: string | undefined): Promise<Told | undefined>
}

export interface StatusFeedOptions {
  /** Tells this start of the server from others. */
  readonly run: number
  readonly ask: () => Promise<Status>
  /** Milliseconds, from any origin, never going back. */
  readonly monotonic: () => number
}

interface Row {
  readonly text: string
  readonly client: ClientStatus
  readonly number: number
}

export const makeStatusFeed = ({ run, ask, monotonic }: StatusFeedOptions): StatusFeed => {
  const rows = new Map<string, Row>()
  /** When each was seen to be gone. */
  const gone = new Map<string, number>()
  let number = 0
  /** What was gone before is not known any more. */
  let forgotten = 0
  let about = ""
  let aboutAt = 0
  let status: Status | undefined
  let lookedAt = Number.NEGATIVE_INFINITY
  let looking: Promise<Status> | undefined

  const take = (found: Status): Status => {
    const next = number + 1
    const text = JSON.stringify([found.server.position, found.listeners])
    if (text !== about) number = aboutAt = next
    about = text
    const macs = new Set<string>()
    for (const client of found.clients) {
      const { mac } = client
      macs.add(mac)
      const row = JSON.stringify(client)
      if (rows.get(mac)?.text === row) continue
      rows.set(mac, { text: row, client, number: next })
      gone.delete(mac)
      number = next
    }
    for (const mac of rows.keys()) {
      if (macs.has(mac)) continue
      rows.delete(mac)
      gone.set(mac, next)
      number = next
    }
    for (const [mac, at] of gone) {
      if (gone.size <= limits.statusGoneMax) break
      gone.delete(mac)
      forgotten = at
    }
    return found
  }

  /** One look for all who ask at about the same time. */
  const look = (): Promise<Status> => {
    if (looking !== undefined) return looking
    if (status !== undefined && monotonic() - lookedAt < limits.statusLookMillis / 2) return Promise.resolve(status)
    looking = ask()
      .then((found) => {
        status = take(found)
        lookedAt = monotonic()
        return status
      })
      .finally(() => {
        looking = undefined
      })
    return looking
  }

  const numberIn = (id: string | undefined): number | undefined => {
    const [, of, seen] = /^(\d{1,15})-(\d{1,15})$/.exec(id ?? "") ?? []
    const known = of !== undefined && Number(of) === run && Number(seen) <= number && Number(seen) >= forgotten
    return known ? Number(seen) : undefined
  }

  return {
    async since(id) {
      const { server, listeners, clients } = await look()
      const seen = numberIn(id)
      const told = { id: `${run}-${number}` }
      if (seen === undefined) return { ...told, name: "status", event: { server, listeners, clients, gone: [] } }
      if (seen === number) return undefined
      const changed = [...rows.values()].filter((row) => row.number > seen).map(({ client }) => client)
      const left = [...gone].filter(([, at]) => at > seen).map(([mac]) => mac)
      const event = { server, listeners, clients: changed, gone: left }
      return aboutAt > seen || changed.length + left.length > 0 ? { ...told, name: "changes", event } : undefined
    },
  }
}
