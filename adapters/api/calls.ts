/** Calls that are answered before they end (202): what runs, and for a while what came of it. */
import { fail, type ImagelinkError, isImagelinkError } from "../../core/errors.ts"
import type { Progress } from "../../core/jobs.ts"
import { limits } from "../../core/limits.ts"
import type { OperationName } from "../../core/runtime/site.ts"
import { type Problem, problemOf } from "./contract/problem.ts"

export interface CallShown {
  readonly id: string
  readonly operation: OperationName
  readonly state: "running" | "done" | "failed"
  /** Who asked. */
  readonly actor: string
  readonly startedAt: number
  readonly progress?: Progress
  readonly result?: unknown
  readonly problem?: Problem
}

interface Kept {
  shown: CallShown
  readonly abort: AbortController
  readonly settled: Promise<void>
}

export class Calls {
  readonly #kept = new Map<string, Kept>()

  /** The same call again is the one that is kept. @throws COMMAND_REUSED when the id is that of another one */
  begin(
    about: Pick<CallShown, "id" | "operation" | "actor" | "startedAt">,
    run: (context: { readonly signal: AbortSignal; readonly onProgress: (p: Progress) => void }) => Promise<unknown>,
  ): CallShown {
    const { id } = about
    const known = this.#kept.get(id)
    if (known !== undefined) {
      if (known.shown.operation === about.operation && known.shown.actor === about.actor) return known.shown
      throw fail("COMMAND_REUSED", { id })
    }
    const abort = new AbortController()
    const edit = (change: Partial<CallShown>) => {
      kept.shown = { ...kept.shown, ...change }
    }
    const kept: Kept = {
      shown: { ...about, state: "running" },
      abort,
      settled: Promise.resolve()
        .then(() => run({ signal: abort.signal, onProgress: (progress) => edit({ progress }) }))
        .then(
          (result) => edit({ state: "done", result }),
          (e: unknown) => edit({ state: "failed", problem: problemOf(asError(e).toJSON()) }),
        ),
    }
    this.#kept.set(id, kept)
    this.#thinOut()
    return kept.shown
  }

  get(id: string): CallShown | undefined {
    return this.#kept.get(id)?.shown
  }

  /** False when there is none that runs. */
  cancel(id: string): boolean {
    const kept = this.#kept.get(id)
    if (kept?.shown.state !== "running") return false
    kept.abort.abort()
    return true
  }

  async close(): Promise<void> {
    for (const { abort } of this.#kept.values()) abort.abort()
    await Promise.all([...this.#kept.values()].map(({ settled }) => settled))
  }

  #thinOut(): void {
    for (const [id, { shown }] of this.#kept) {
      if (this.#kept.size <= limits.apiCallsKeptMax) return
      if (shown.state !== "running") this.#kept.delete(id)
    }
  }
}

export const asError = (e: unknown): ImagelinkError =>
  isImagelinkError(e) ? e : fail("INTERNAL_ERROR", { what: "the server", why: String((e as Error)?.stack ?? e) })
