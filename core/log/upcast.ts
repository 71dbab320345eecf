/**
 * Upcasting: an event in the shape it was written in becomes the same event in its current shape, on read.
 *
 * A shape on disk never changes. When a type gets a new shape, a step is added from the version before; steps are pure and chained, so
 * a step is written once and never touched again.
 */
import assert from "node:assert"
import { fail } from "../errors.ts"
import type { Recorded } from "./event-log.ts"

/** Turns data of one `schemaVersion` into the next. */
export type UpcastStep = (data: unknown) => unknown

export interface UpcastTable {
  /** The current `schemaVersion` of every type. */
  readonly current: Readonly<Record<string, number>>
  /** `steps[type][v]` turns version v into v + 1; every v from 1 to current - 1 must be there. */
  readonly steps?: Readonly<Record<string, Readonly<Record<number, UpcastStep>>>>
}

export interface Upcaster {
  /** The version a type is written in now; undefined for a type that is not known. */
  readonly currentVersion: (type: string) => number | undefined
  /** @throws EVENT_UNKNOWN for a type that is not known, or a version newer than the current one. */
  readonly upcast: (event: Recorded) => Recorded
}

const assertComplete = (type: string, current: number, steps: Readonly<Record<number, UpcastStep>> | undefined) => {
  assert(Number.isInteger(current) && current >= 1, `${type}: a schemaVersion counts from 1`)
  for (let v = 1; v < current; v++) assert(steps?.[v], `${type}: no step from schemaVersion ${v} to ${v + 1}`)
}

/** Builds the upcaster of a table. A hole in a chain of steps is a programmer's mistake and fails here, not on some old event. */
export const makeUpcaster = (table: UpcastTable): Upcaster => {
  const current = new Map(Object.entries(table.current))
  for (const [type, version] of current) assertComplete(type, version, table.steps?.[type])
  for (const type of Object.keys(table.steps ?? {})) assert(current.has(type), `${type}: steps for an unknown type`)

  const upcast = (event: Recorded): Recorded => {
    const to = current.get(event.type)
    if (event.schemaVersion === to) return event
    if (to === undefined) throw fail("EVENT_UNKNOWN", { type: event.type, position: event.position })
    const known = Number.isInteger(event.schemaVersion) && event.schemaVersion >= 1 && event.schemaVersion < to
    if (!known) {
      throw fail("EVENT_UNKNOWN", { type: `${event.type} ${event.schemaVersion}`, position: event.position })
    }
    let data = event.data
    for (let v = event.schemaVersion; v < to; v++) data = table.steps![event.type]![v]!(data)
    return { ...event, schemaVersion: to, data }
  }
  return { currentVersion: (type) => current.get(type), upcast }
}
