/** One idea of what may be wrong: its name, the side it is seen from, and how to look. */
import type { Exam } from "./exam.ts"
import type { Found, Side } from "./finding.ts"

export interface Check {
  /** As it is shown, and named with `--only`. */
  readonly name: string
  readonly side: Side
  /** Answers in the order in which it is to be read. What it throws is a failure with the error's code. */
  readonly run: (exam: Exam, signal: AbortSignal) => Promise<ReadonlyArray<Found>>
}
