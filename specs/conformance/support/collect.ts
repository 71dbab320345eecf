/** A test runner of its own: runs what a suite registers, one check after another, and tells how each ended. */
import { setTimeout as after } from "node:timers/promises"
import type { Runner, Say } from "./suite.ts"

export interface CheckResult {
  readonly check: string
  readonly result: "passed" | "failed" | "skipped"
  /** Of one that failed or was skipped. */
  readonly why?: string
}

export interface CollectOptions {
  /** Only the check of this name. */
  readonly only?: string
  /** A check that has not ended by then has failed, and the rest is skipped: what hangs still holds what it holds. */
  readonly secondsMax?: number
}

export const collect = async (
  suite: (runner: Runner, say: Say) => void,
  { only, secondsMax }: CollectOptions = {},
): Promise<ReadonlyArray<CheckResult>> => {
  const checks: Array<readonly [string, () => Promise<void>]> = []
  const skipped = new Map<string, string>()
  const results: Array<CheckResult> = []
  const runner: Runner = { describe: (_, body) => body(), it: (name, body) => checks.push([name, body]) }
  suite(runner, (_, { check, why }) => skipped.set(check, why))
  for (const [check, why] of skipped) results.push({ check, result: "skipped", why })
  let hangs: string | undefined
  for (const [check, body] of checks) {
    if (only !== undefined && check !== only) continue
    if (hangs !== undefined) {
      results.push({ check, result: "skipped", why: `"${hangs}" has not ended` })
      continue
    }
    const why = await ended(body, secondsMax)
    if (why === HANGS) hangs = check
    const late = skipped.get(check)
    if (why !== undefined)
      results.push({ check, result: "failed", why: why === HANGS ? `did not end within ${secondsMax} seconds` : why })
    else results.push(late === undefined ? { check, result: "passed" } : { check, result: "skipped", why: late })
  }
  return results
}

const HANGS = Symbol("hangs")

/** What went wrong, if anything did. */
const ended = async (
  body: () => Promise<void>,
  secondsMax: number | undefined,
): Promise<string | typeof HANGS | undefined> => {
  const done = new AbortController()
  try {
    const running = body().then(() => undefined)
    if (secondsMax === undefined) return await running
    const timer = after(secondsMax * 1000, HANGS, { signal: done.signal }).catch(() => undefined)
    return await Promise.race([running, timer])
  } catch (thrown) {
    return thrown instanceof Error ? thrown.message : String(thrown)
  } finally {
    done.abort()
  }
}
