/** A test runner that runs what a suite registers and tells which checks failed, for suites that must catch something. */
import type { Runner } from "../conformance/support/suite.ts"

export interface Outcome {
  readonly passed: ReadonlyArray<string>
  /** By name of the check. */
  readonly failed: ReadonlyMap<string, string>
  readonly skipped: ReadonlyArray<string>
}

export const collect = async (
  suite: (runner: Runner, say: (line: string) => void) => void,
  only?: string,
): Promise<Outcome> => {
  const checks: Array<[string, () => Promise<void>]> = []
  const skipped: Array<string> = []
  const runner: Runner = { describe: (_, body) => body(), it: (name, body) => checks.push([name, body]) }
  suite(runner, (line) => skipped.push(line))
  const passed: Array<string> = []
  const failed = new Map<string, string>()
  for (const [name, body] of checks) {
    if (only !== undefined && name !== only) continue
    try {
      await body()
      passed.push(name)
    } catch (thrown) {
      failed.set(name, thrown instanceof Error ? thrown.message : String(thrown))
    }
  }
  return { passed, failed, skipped }
}
