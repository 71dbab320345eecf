/** What every operation of a site is made of (site.ts): an input, a result, perhaps items; what a changing one answers, and moments in the log. */
import type { NewEvent, Recorded } from "../../log/event-log.ts"

/** What a changing operation answers. In a dry run `events` are what would be appended, without position and time. */
export interface Changed {
  readonly events: ReadonlyArray<NewEvent | Recorded>
  readonly position: number
  readonly dryRun: boolean
  readonly repeated: boolean
}

export type Nothing = Readonly<Record<string, never>>

export interface Op<Input, Result, Item = never> {
  readonly input: Input
  readonly result: Result
  readonly item: Item
}

/** A moment in the log: a position, or a time (the last position that is not after it); neither is the head. */
export interface Moment {
  readonly at?: number
  readonly position?: number
}

/** The moment that was used. */
export interface AsOf {
  readonly position: number
  /** When the event at `position` was recorded; null before the first. */
  readonly at: number | null
}
