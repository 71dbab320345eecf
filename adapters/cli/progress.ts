/** A progress bar on a terminal, a line now and then elsewhere; always on stderr, so that stdout stays clean. */
import type { Progress } from "../../core/jobs.ts"
import { bytes } from "./output.ts"

export interface ProgressView {
  report(p: Progress): void
  end(): void
}

const show = (p: Progress, value: number) => (p.unit === "bytes" ? bytes(value) : String(value))

export const progressView = async (title: string, quiet: boolean): Promise<ProgressView> => {
  if (quiet) return { report: () => {}, end: () => {} }
  if (!process.stderr.isTTY) return lines(title)
  const { default: cliProgress } = await import("cli-progress")
  let current: Progress = { done: 0, total: 0, unit: "items" }
  const bar = new cliProgress.SingleBar({
    stream: process.stderr,
    hideCursor: true,
    clearOnComplete: true,
    format: (_options, params) => {
      const filled = Math.round(params.progress * 30)
      const eta = Number.isFinite(Number(params.eta)) ? `, ${params.eta} s left` : ""
      return `${title} ${"█".repeat(filled)}${"░".repeat(30 - filled)} ${show(current, current.done)} of ${show(current, current.total)}${eta}`
    },
  })
  let started = false
  return {
    report: (p) => {
      current = p
      if (!started) bar.start(p.total, p.done)
      else bar.setTotal(p.total)
      bar.update(p.done)
      started = true
    },
    end: () => {
      if (started) bar.stop()
    },
  }
}

/** At most a line per quarter, so that a log file stays readable. */
const lines = (title: string): ProgressView => {
  let quarter = 0
  let unit: Progress["unit"] | undefined
  return {
    report: (p) => {
      if (unit !== p.unit) quarter = 0
      unit = p.unit
      const now = p.total === 0 ? 4 : Math.floor((p.done / p.total) * 4)
      if (now <= quarter) return
      quarter = now
      process.stderr.write(`${title}: ${show(p, p.done)} of ${show(p, p.total)}\n`)
    },
    end: () => {},
  }
}
