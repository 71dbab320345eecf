/**
 * Long work that reports where it is and can be stopped: checking an image, later commit, flatten, backup.
 *
 * A job is a function of a `JobContext`. It calls `progress` as often as it likes (the runner thins it out), and stops soon after
 * `signal` aborts, leaving what it did so far valid.
 */
export interface Progress {
  readonly done: number
  readonly total: number
  readonly unit: "bytes" | "items"
  readonly note?: string
}

export interface JobContext {
  readonly signal: AbortSignal
  progress(p: Progress): void
}

export type JobState = "running" | "done" | "failed" | "cancelled"

export interface JobInfo {
  readonly id: string
  /** What it does, for a person: `check win11@1`. */
  readonly title: string
  readonly state: JobState
  readonly progress: Progress
  readonly startedAt: number
  readonly error?: { readonly code: string; readonly message: string }
}
