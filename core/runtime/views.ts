/**
 * The projections of an opened site, each started when it is first asked for.
 *
 * **Details** A command line that prints the link table folds the link table alone. Checkpoints are saved at `close`, where enough was
 * folded to be worth a file.
 */
import * as Effect from "effect/Effect"
import { limits } from "../limits.ts"
import type { EventLog } from "../log/event-log.ts"
import type { AnyProjection } from "../projections/cell.ts"
import { type MarkStore, type Marks, makeMarks } from "../projections/marks.ts"
import type { Projection } from "../projections/projection.ts"
import { makeProjector, type ProjectionReport, type Projector, rebuildAll } from "../projections/projector.ts"

export interface Views {
  /** The state at the head of the log. It belongs to the view: take what you need before you await anything. */
  state<S>(projection: Projection<S>): Promise<S>
  /** The projector of one projection, started. */
  projector(projection: AnyProjection): Promise<Projector>
  /** Folds all of these again from zero in one reading of the log, makes their marks anew and saves where they are. */
  rebuild(projections: ReadonlyArray<AnyProjection>): Promise<ReadonlyArray<ProjectionReport>>
  /** State checkpoints along the log, for looking back. */
  readonly marks: Marks
  close(): Promise<void>
}

interface View {
  readonly projector: Projector
  readonly started: Promise<void>
  /** Position of the checkpoint on disk. */
  saved: number
}

export const makeViews = (
  log: Pick<EventLog, "site" | "head" | "headCommand" | "page" | "pageBytes" | "each">,
  checkpoints: MarkStore,
): Views => {
  const views = new Map<string, View>()
  const marks = makeMarks(log, checkpoints)

  const start = (projection: AnyProjection): View => {
    const projector = makeProjector({ log, projections: [projection], checkpoints, marks })
    const view: View = { projector, started: Promise.resolve(), saved: 0 }
    const started = Effect.runPromise(projector.start()).then(({ folded }) => {
      view.saved = log.head() - folded
    })
    return Object.assign(view, { started })
  }

  /** One that is not at work yet has nothing to fold before: it begins with what is rebuilt. */
  const rebuild = async (projections: ReadonlyArray<AnyProjection>): Promise<ReadonlyArray<ProjectionReport>> => {
    const projectors = await Promise.all(
      projections.map((p) =>
        views.has(p.name) ? projectorOf(p) : makeProjector({ log, projections: [p], checkpoints, marks }),
      ),
    )
    await Effect.runPromise(rebuildAll(log, projectors, marks))
    for (const [i, projector] of projectors.entries()) {
      const { name } = projections[i]!
      await Effect.runPromise(projector.checkpoint())
      const view = views.get(name) ?? { projector, started: Promise.resolve(), saved: 0 }
      views.set(name, Object.assign(view, { saved: projector.report()[0]!.position }))
    }
    return projectors.map((projector) => projector.report()[0]!)
  }

  const projectorOf = async (projection: AnyProjection): Promise<Projector> => {
    const view = views.get(projection.name) ?? start(projection)
    views.set(projection.name, view)
    await view.started
    return view.projector
  }

  return {
    marks,
    projector: projectorOf,
    rebuild,
    async state(projection) {
      const projector = await projectorOf(projection)
      await Effect.runPromise(projector.catchUp())
      const stopped = projector.report()[0]?.stopped
      if (stopped !== undefined) throw stopped
      return projector.state(projection)
    },
    async close() {
      for (const view of views.values()) {
        const position = view.projector.report()[0]?.position ?? 0
        if (position - view.saved < limits.checkpointEventsMin) continue
        // A checkpoint is a shortcut: who may not write one, or has no space for it, has lost nothing.
        await Effect.runPromise(view.projector.checkpoint()).catch(() => {})
      }
    },
  }
}
