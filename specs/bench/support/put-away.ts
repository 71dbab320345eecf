/**
 * What a bench makes outside of its process, namespaces and servers, put away also when the bench is told to end.
 *
 * **Details** What was made last goes first. A second time is the first: a signal may come while the bench is putting away by itself.
 */
type PutAway = () => Promise<void> | void

const kept: Array<() => Promise<void>> = []

const signals = { SIGINT: 2, SIGTERM: 15 } as const

/** Answers how to put it away. */
export const toPutAway = (putAway: PutAway): (() => Promise<void>) => {
  if (kept.length === 0)
    for (const [signal, number] of Object.entries(signals)) process.once(signal, () => void end(number))
  let away: Promise<void> | undefined
  const once = () => (away ??= Promise.resolve(putAway()))
  kept.push(once)
  return once
}

/** Leaves with the status of whoever was ended by a signal. */
const end = async (signal: number): Promise<void> => {
  for (const putAway of kept.toReversed()) await putAway().catch((e: unknown) => console.error(String(e)))
  process.exit(128 + signal)
}
