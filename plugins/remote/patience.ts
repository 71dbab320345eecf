/**
 * Asks a source again until it answers, it refuses for good, or the deadline is reached.
 *
 *     wait before try n:  random() × min(remoteRetryMillisMax, remoteRetryMillisMin × 2ⁿ), or what the server asked for
 *
 * **Details** Jitter over the whole span, so that a hundred readers that lost one server do not come back as one. A try that brought bytes starts
 * the count anew: the next goes on where it ended. At the deadline the answer is REMOTE_UNREACHABLE with the last reason, and nothing is remembered:
 * the next read asks again, and so heals by itself.
 */
import { fail, limits } from "imagelink/plugin"
import { type Clock, pause } from "./clock.ts"
import { type Described, type Source, Transient, type Want } from "./source.ts"

export interface Deadline {
  /** In the clock's milliseconds. */
  readonly at: number
  /** Nobody waits any more. */
  readonly signal: AbortSignal
}

/** @throws REMOTE_UNREACHABLE, and what the source throws for good */
export const describePatiently = (source: Source, clock: Clock, deadline: Deadline): Promise<Described> =>
  untilDone(source, clock, deadline, {}, (signal) => source.describe(signal))

/** @throws REMOTE_UNREACHABLE, and what the source throws for good */
export const readPatiently = (
  source: Source,
  clock: Clock,
  deadline: Deadline,
  want: Want,
  expected: Described,
): Promise<void> =>
  untilDone(source, clock, deadline, { want }, async (signal) => {
    await source.read(want, expected, signal)
    // A server may answer less than was asked for (RFC 9110 §14.2); the rest is asked for at once.
    if (want.done < want.into.length) throw new Transient("the server answered a part only", { atOnce: true })
  })

const untilDone = async <A>(
  source: Source,
  clock: Clock,
  { at, signal }: Deadline,
  { want }: { readonly want?: Want },
  attempt: (signal: AbortSignal) => Promise<A>,
): Promise<A> => {
  const cutoff = new AbortController()
  const stop = () => cutoff.abort()
  const cancel = clock.after(Math.max(0, at - clock.now()), stop)
  signal.addEventListener("abort", stop, { once: true })
  if (signal.aborted) stop()
  let tries = 0
  let atOnce = 0
  let why = "there was no answer in time"
  try {
    for (;;) {
      if (signal.aborted) throw fail("CANCELLED", { what: `a read of ${source.url}` })
      const before = want?.done ?? 0
      try {
        return await attempt(cutoff.signal)
      } catch (thrown) {
        if (!(thrown instanceof Transient) && !cutoff.signal.aborted) throw thrown
        // A try that the deadline cut off says less than the one before it.
        if (thrown instanceof Transient && !cutoff.signal.aborted) why = thrown.message
        if ((want?.done ?? 0) > before) tries = 0
        const quick = thrown instanceof Transient && thrown.atOnce && ((want?.done ?? 0) > before || atOnce++ < 2)
        const wait = quick ? 0 : waitMillis(clock, tries++, thrown)
        const isOver = !signal.aborted && (cutoff.signal.aborted || clock.now() + wait >= at)
        if (isOver) throw unreachable(source, want, why)
        if (wait > 0) await pause(clock, wait, cutoff.signal)
      }
    }
  } finally {
    cancel()
    signal.removeEventListener("abort", stop)
  }
}

const waitMillis = (clock: Clock, tries: number, thrown: unknown): number => {
  const span = Math.min(limits.remoteRetryMillisMax, limits.remoteRetryMillisMin * 2 ** Math.min(tries, 16))
  const asked = thrown instanceof Transient ? (thrown.waitMillis ?? 0) : 0
  return Math.max(1 + clock.random() * span, asked)
}

const unreachable = (source: Source, want: Want | undefined, why: string) => {
  const range = want && { offset: want.offset + want.done, length: want.into.length - want.done }
  return fail("REMOTE_UNREACHABLE", { url: source.url, why, ...range })
}
