/**
 * Runs the pieces of one request side by side, a bounded number at a time.
 *
 * **Gotchas** It settles only when every piece that was started has settled, also after an error: the caller's buffer belongs to
 * the pieces until then. The error it rejects with is that of the lowest piece, so that a failure reads the same every time.
 */
export const inParallel = async (
  count: number,
  atOnce: number,
  piece: (index: number) => Promise<void>,
): Promise<void> => {
  let next = 0
  let failedAt = Number.POSITIVE_INFINITY
  let failure: unknown
  const worker = async () => {
    while (next < count && failedAt === Number.POSITIVE_INFINITY) {
      const index = next++
      try {
        await piece(index)
      } catch (e) {
        if (index < failedAt) {
          failedAt = index
          failure = e
        }
      }
    }
  }
  const workers: Array<Promise<void>> = []
  for (let i = 0; i < Math.min(count, atOnce); i++) workers.push(worker())
  await Promise.all(workers)
  if (failedAt !== Number.POSITIVE_INFINITY) throw failure
}
