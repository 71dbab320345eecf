/**
 * What both conformance suites are made of: named checks, some of which do not apply to every plugin.
 *
 * **Details** The test runner is injected: anything with `describe` and `it` will do (node:test, vitest, mocha). A check that does not
 * apply is not registered as passed; it is named in the output with its reason.
 */

import { isImagelinkError } from "../../../core/errors.ts"

/** The two functions of a test runner that a suite uses. */
export interface Runner {
  readonly describe: (name: string, body: () => void) => unknown
  readonly it: (name: string, body: () => Promise<void>) => unknown
}

export interface Check<Subject> {
  /** A sentence that is true of a plugin that passes. */
  readonly name: string
  /** Why it does not apply to this subject, known before anything is opened. */
  readonly skip?: (subject: Subject) => string | undefined
  /** Answers a reason (a string) if it turned out, once opened, that it does not apply. Throws if the promise is broken. */
  readonly run: (subject: Subject) => Promise<unknown>
}

/** Where skipped checks are named: in a line for people, and in parts for programs. */
export type Say = (line: string, skipped: { readonly check: string; readonly why: string }) => void

export const register = <Subject>(
  { describe, it }: Runner,
  title: string,
  checks: ReadonlyArray<Check<Subject>>,
  subject: Subject,
  say: Say = (line) => console.log(line),
): void => {
  describe(title, () => {
    for (const check of checks) {
      const skipped = (why: string) => say(`${title}: skipped "${check.name}": ${why}`, { check: check.name, why })
      const why = check.skip?.(subject)
      if (why !== undefined) skipped(why)
      else
        it(check.name, async () => {
          const late = await check.run(subject).catch(explained)
          if (typeof late === "string") skipped(late)
        })
    }
  })
}

/** An error of ours keeps its cause apart from its message; a test runner shows only the message. */
const explained = (error: unknown): never => {
  throw isImagelinkError(error)
    ? new Error(`${error.code}: ${error.message}: ${error.reason}`, { cause: error })
    : error
}
