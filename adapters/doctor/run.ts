/**
 * Runs checks beside each other, each within its time, and answers what they found in the order of the table.
 *
 * **Details** A check that throws has failed with what it threw; one that does not end has failed with CHECK_TIMED_OUT, and what it still does
 * counts no more. So one hanging mount hides nothing of the rest.
 */
import { fail, isImagelinkError } from "../../core/errors.ts"
import { limits } from "../../core/limits.ts"
import type { Check } from "./check.ts"
import type { Exam } from "./exam.ts"
import { type Finding, type Found, failed } from "./finding.ts"

export interface RunOptions {
  /** How many checks have ended. */
  readonly onProgress?: (done: number) => void
  readonly millisMax?: number
}

export const runChecks = async (
  checks: ReadonlyArray<Check>,
  exam: Exam,
  { onProgress = () => {}, millisMax = limits.doctorCheckMillisMax }: RunOptions = {},
): Promise<ReadonlyArray<Finding>> => {
  let done = 0
  const all = checks.map(async (check) => {
    const found = await bounded(check, exam, millisMax)
    onProgress(++done)
    return found.map((one) => ({ check: check.name, side: check.side, ...one }))
  })
  return (await Promise.all(all)).flat()
}

const bounded = async (check: Check, exam: Exam, millisMax: number): Promise<ReadonlyArray<Found>> => {
  const abort = new AbortController()
  const { promise: late, resolve } = Promise.withResolvers<ReadonlyArray<Found>>()
  const timer = setTimeout(() => {
    abort.abort()
    const error = fail("CHECK_TIMED_OUT", { check: check.name, seconds: String(millisMax / 1000) })
    resolve([failed(check.name, error)])
  }, millisMax)
  try {
    return await Promise.race([check.run(exam, abort.signal), late])
  } catch (e) {
    const known = isImagelinkError(e)
      ? e
      : fail("INTERNAL_ERROR", { what: `the check ${check.name}`, why: String((e as Error)?.stack ?? e) })
    return [failed(check.name, known)]
  } finally {
    clearTimeout(timer)
  }
}
