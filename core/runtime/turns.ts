/** Takes work that must not meet in turns. */

export type Turns = <A>(key: string, work: () => Promise<A>) => Promise<A>

/** One after the other for the same key, whatever became of those before. */
export const makeTurns = (): Turns => {
  const last = new Map<string, Promise<unknown>>()
  return (key, work) => {
    const mine = (last.get(key) ?? Promise.resolve()).then(work)
    const settled = mine
      .catch(() => {})
      .finally(() => {
        if (last.get(key) === settled) last.delete(key)
      })
    last.set(key, settled)
    return mine
  }
}
