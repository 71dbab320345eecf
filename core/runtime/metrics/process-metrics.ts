/** The process as the operating system sees it, under the names that every exporter uses. */
import { readdirSync } from "node:fs"
import type { Metric } from "./text.ts"

const one = (name: string, type: "counter" | "gauge", help: string, value: number): Metric => ({
  name,
  type,
  help,
  samples: [{ value }],
})

/** `startedAt`: UTC milliseconds. */
export const processMetrics = (startedAt: number): ReadonlyArray<Metric> => {
  const { rss, heapTotal, heapUsed, external, arrayBuffers } = process.memoryUsage()
  const { user, system } = process.cpuUsage()
  const files = openFiles()
  return [
    one("process_cpu_seconds_total", "counter", "CPU time of the process.", (user + system) / 1e6),
    one("process_start_time_seconds", "gauge", "When the server started, Unix time.", startedAt / 1000),
    one("process_resident_memory_bytes", "gauge", "Memory of the process in RAM.", rss),
    one(
      "nodejs_heap_size_total_bytes",
      "gauge",
      "The heap: JavaScript objects, and what it keeps free for them.",
      heapTotal,
    ),
    one("nodejs_heap_size_used_bytes", "gauge", "JavaScript objects.", heapUsed),
    one("nodejs_external_memory_bytes", "gauge", "Memory outside of the heap, read cache included.", external),
    one("nodejs_array_buffers_bytes", "gauge", "Memory of buffers, read cache included.", arrayBuffers),
    one(
      "nodejs_active_resources",
      "gauge",
      "What keeps the event loop alive: sockets, timers, requests.",
      process.getActiveResourcesInfo().length,
    ),
    ...(files === undefined ? [] : [one("process_open_fds", "gauge", "Open file descriptors.", files)]),
  ]
}

/** Undefined where there is no /proc (proc(5)). */
const openFiles = (): number | undefined => {
  try {
    return readdirSync("/proc/self/fd").length
  } catch {
    return undefined
  }
}
