/** Checkpoints in memory, for specs; `files` is theirs to damage. */
import * as Effect from "effect/Effect"
import type { MarkStore } from "../../core/projections/marks.ts"

export const memoryMarks = (): MarkStore & { readonly files: Map<string, Uint8Array>; loads: number } => {
  const files = new Map<string, Uint8Array>()
  const store = {
    files,
    loads: 0,
    load: (name: string) =>
      Effect.sync(() => {
        store.loads++
        return files.get(name)
      }),
    save: (name: string, bytes: Uint8Array) => Effect.sync(() => void files.set(name, bytes)),
    list: () => Effect.sync(() => [...files.keys()].sort()),
    remove: (name: string) => Effect.sync(() => void files.delete(name)),
  }
  return store
}
