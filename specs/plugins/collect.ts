/** How a suite's checks ended, by name, for suites that must catch something. */
import { collect as collectResults } from "../conformance/support/collect.ts"
import type { Runner, Say } from "../conformance/support/suite.ts"

export interface Outcome {
  readonly passed: ReadonlyArray<string>
  /** By name of the check. */
  readonly failed: ReadonlyMap<string, string>
  /** As printed. */
  readonly skipped: ReadonlyArray<string>
}

export const collect = async (suite: (runner: Runner, say: Say) => void, only?: string): Promise<Outcome> => {
  const skipped: Array<string> = []
  const noting = (runner: Runner, say: Say) =>
    suite(runner, (line, what) => {
      skipped.push(line)
      say(line, what)
    })
  const results = await collectResults(noting, only === undefined ? {} : { only })
  const of = (result: string) => results.filter((one) => one.result === result)
  return {
    passed: of("passed").map(({ check }) => check),
    failed: new Map(of("failed").map(({ check, why }) => [check, why ?? ""])),
    skipped,
  }
}
