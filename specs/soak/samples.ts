/** What is looked at while the server soaks, and what is found right in the end. */

export interface Sample {
  readonly rssBytes: number
  readonly heapBytes: number
  /** What is in RAM beside the heap: what the heap keeps free is a collector's affair. */
  readonly outsideBytes: number
  readonly files: number
  readonly resources: number
  readonly lagSeconds: number
}

const value = (metrics: string, name: string): number => {
  const line = metrics.split("\n").find((l) => l.startsWith(`${name} `))
  if (line === undefined) throw new Error(`the metrics have no ${name}`)
  return Number(line.slice(name.length + 1))
}

/** `metrics`: Prometheus' text. */
export const sampleOf = (metrics: string): Sample => ({
  rssBytes: value(metrics, "process_resident_memory_bytes"),
  outsideBytes: value(metrics, "process_resident_memory_bytes") - value(metrics, "nodejs_heap_size_total_bytes"),
  heapBytes: value(metrics, "nodejs_heap_size_used_bytes"),
  files: value(metrics, "process_open_fds"),
  resources: value(metrics, "nodejs_active_resources"),
  lagSeconds: value(metrics, 'imagelink_event_loop_lag_seconds{quantile="0.99"}'),
})

export interface Check {
  readonly what: string
  readonly right: boolean
  readonly found: string
}

export interface Soaked {
  readonly boots: number
  readonly problems: ReadonlyArray<string>
  readonly unfinished: number
}

/** Beyond the second quarter, in which caches and pools have filled. */
const GROWTH_MAX = 1.15
/** What a collector may leave lying when it has no need to hurry; thousands of boots that each kept something are far above it. */
const SPARE_BYTES = 48 * 2 ** 20
/** Handles come and go with the clients that are on just then. */
const HANDLES_MORE_MAX = 1.25

const quarter = (samples: ReadonlyArray<Sample>, n: number, of: (s: Sample) => number): ReadonlyArray<number> =>
  samples.slice(Math.floor((samples.length * n) / 4), Math.ceil((samples.length * (n + 1)) / 4)).map(of)

const sortedAt = (share: number) => (xs: ReadonlyArray<number>) =>
  xs.toSorted((a, b) => a - b)[Math.floor(xs.length * share)] ?? 0
const middle = sortedAt(0.5)
/** Of what a collector lets grow and takes back: what remains after it. */
const low = sortedAt(0.1)

/** The last quarter beside the second. */
const flat = (samples: ReadonlyArray<Sample>, what: string, of: (s: Sample) => number): Check => {
  const before = middle(quarter(samples, 1, of))
  const after = middle(quarter(samples, 3, of))
  const ratio = (after / Math.max(1, before)).toFixed(3)
  return { what, right: after <= before * HANDLES_MORE_MAX, found: `${ratio} of what it was` }
}

/** The same of memory. What each boot leaves grows in both steps alike; what an allocator takes once and keeps, in one of them. */
const steady = (
  samples: ReadonlyArray<Sample>,
  what: string,
  of: (s: Sample) => number,
  typical: typeof middle,
): Check => {
  const [a = 0, b = 0, c = 0] = [1, 2, 3].map((n) => typical(quarter(samples, n, of)))
  const steadily = a + 2 * Math.min(b - a, c - b)
  const [ratio, part] = [c, steadily].map((bytes) => (bytes / Math.max(1, a)).toFixed(3))
  return {
    what,
    right: steadily <= Math.max(a * GROWTH_MAX, a + SPARE_BYTES),
    found: `${ratio} of what it was, ${part} by what grows steadily`,
  }
}

export const judged = (
  samples: ReadonlyArray<Sample>,
  { boots, problems, unfinished }: Soaked,
): ReadonlyArray<Check> => [
  {
    what: "every boot came to its end, and every byte was right",
    right: boots > 0 && unfinished === 0 && problems.length === 0,
    found: `${boots} boots, ${problems.length} problems, ${unfinished} PCs gave up`,
  },
  steady(samples, "memory beside the heap", (s) => s.outsideBytes, middle),
  steady(samples, "heap", (s) => s.heapBytes, low),
  flat(samples, "open files", (s) => s.files),
  flat(samples, "what keeps the event loop alive", (s) => s.resources),
]
