/** Counts what the demo's clients did, stage by stage. */
import { bytes, type Column, table } from "../output.ts"

interface Stage {
  readonly name: string
  readonly timesMs: Array<number>
  bytes: number
  errors: number
}

export interface Stages {
  /** Runs one step of a stage, counting its time, its bytes and its failure. */
  time<A>(stage: string, bytes: number, work: () => Promise<A>): Promise<A>
  mismatch(stage: string, what: string): void
  readonly problems: ReadonlyArray<string>
  render(clients: number): string
  rows(clients: number): ReadonlyArray<StageRow>
}

export interface StageRow {
  readonly stage: string
  readonly clients: number
  readonly operations: number
  readonly bytes: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly errors: number
}

const percentile = (sorted: ReadonlyArray<number>, share: number) =>
  sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * share) - 1)] ?? 0

const ms = (n: number) =>
  n < 10 ? `${n.toFixed(2)} ms` : n < 1000 ? `${n.toFixed(0)} ms` : `${(n / 1000).toFixed(2)} s`

const columns: ReadonlyArray<Column<StageRow>> = [
  { title: "STAGE", value: (r) => r.stage },
  { title: "CLIENTS", align: "right", value: (r) => String(r.clients) },
  { title: "REQUESTS", align: "right", value: (r) => String(r.operations) },
  { title: "BYTES", align: "right", value: (r) => (r.bytes === 0 ? "-" : bytes(r.bytes)) },
  { title: "P50", align: "right", value: (r) => ms(r.p50Ms) },
  { title: "P99", align: "right", value: (r) => ms(r.p99Ms) },
  { title: "ERRORS", align: "right", value: (r) => String(r.errors) },
]

export const makeStages = (now: () => number): Stages => {
  const stages = new Map<string, Stage>()
  const problems: Array<string> = []
  const get = (name: string): Stage => {
    const stage = stages.get(name) ?? { name, timesMs: [], bytes: 0, errors: 0 }
    stages.set(name, stage)
    return stage
  }
  const mismatch = (name: string, what: string) => {
    get(name).errors++
    problems.push(`${name}: ${what}`)
  }
  const rows = (clients: number) =>
    [...stages.values()].map((s) => {
      const sorted = s.timesMs.toSorted((a, b) => a - b)
      return {
        stage: s.name,
        clients,
        operations: sorted.length,
        bytes: s.bytes,
        p50Ms: percentile(sorted, 0.5),
        p99Ms: percentile(sorted, 0.99),
        errors: s.errors,
      }
    })
  return {
    problems,
    mismatch,
    async time(name, size, work) {
      const stage = get(name)
      const started = now()
      try {
        const answer = await work()
        stage.timesMs.push(now() - started)
        stage.bytes += size
        return answer
      } catch (e) {
        mismatch(name, (e as Error).message)
        throw e
      }
    },
    rows,
    render: (clients) => table(columns, rows(clients)),
  }
}
