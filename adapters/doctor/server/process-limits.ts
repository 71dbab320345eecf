/**
 * What the system allows the server: open files, memory of its control group, threads that wait for disks.
 *
 * **Details** A running server's own limits count (/proc/PID/limits); else those of this command, which a server that is started the same way would have. Memory is
 * never locked, so no bound is asked of that.
 */
import { availableParallelism } from "node:os"
import { fail } from "../../../core/errors.ts"
import { limits } from "../../../core/limits.ts"
import type { Check } from "../check.ts"
import type { Exam } from "../exam.ts"
import { type Found, failed, pass, skip, warn } from "../finding.ts"
import { asDoctor, askSite } from "../store.ts"
import { readText } from "../system/proc.ts"
import { bytesText } from "../words.ts"

export const processLimits: Check = {
  name: "limits",
  side: "server",
  async run(exam) {
    return [await openFiles(exam), memory(exam), threads(exam)]
  },
}

const procOf = ({ running }: Exam): string => `/proc/${running?.pid ?? "self"}`

const openFiles = async (exam: Exam): Promise<Found> => {
  const [, soft] = /^Max open files\s+(\S+)/mu.exec(readText(`${procOf(exam)}/limits`) ?? "") ?? []
  if (soft === undefined) return skip("open files", "this system does not tell")
  const clients = await clientCount(exam)
  const wanted = limits.doctorFilesOfServer + clients * limits.doctorFilesOfClient
  if (soft === "unlimited" || Number(soft) >= wanted)
    return pass("open files", `${soft}; ${wanted} do for ${clients} clients`)
  const fix = `LimitNOFILE=${2 ** Math.ceil(Math.log2(wanted + 1))} in the service's unit, or 'ulimit -n' where it is started by hand`
  return failed(
    "open files",
    fail("LIMIT_LOW", { limit: "the bound on open files", value: soft, wanted: String(wanted), fix }),
  )
}

/** None where nobody can tell. */
const clientCount = async (exam: Exam): Promise<number> => {
  let count = 0
  await askSite(exam, "clients", async (site) => {
    count = (await site.call("client.list", {}, asDoctor)).length
    return []
  })
  return count
}

/** What a running server has taken of it already counts as available. */
const memory = (exam: Exam): Found => {
  const { config, host } = exam
  const available = host.memoryAvailableBytes?.()
  if (available === undefined) return skip("memory", "this system does not tell")
  const [, kiB = "0"] = /^VmRSS:\s+(\d+) kB$/mu.exec(readText(`${procOf(exam)}/status`) ?? "") ?? []
  const room = available + Number(kiB) * 1024
  const wanted = config.cacheBytes + (config.ramBytes ?? 0) + limits.ramHostKeptBytes
  if (room >= wanted)
    return pass("memory", `${bytesText(room)} for the server; cache and images in RAM take ${bytesText(wanted)}`)
  const why = `the read cache takes ${bytesText(config.cacheBytes)}, images in RAM ${bytesText(config.ramBytes ?? 0)}, and the host keeps ${bytesText(limits.ramHostKeptBytes)}`
  return warn("memory", fail("MEMORY_SHORT", { available: bytesText(room), wanted: bytesText(wanted), why }))
}

/** libuv has 4 unless UV_THREADPOOL_SIZE says otherwise; fewer make reads that wait for a disk wait for each other. */
const THREADS = 4

const threads = (exam: Exam): Found => {
  const environment = readText(`${procOf(exam)}/environ`)
  const [, set] = /(?:^|\0)UV_THREADPOOL_SIZE=(\d+)/u.exec(environment ?? "") ?? []
  const count = set === undefined ? THREADS : Number(set)
  const about = `${count} that wait for disks, ${availableParallelism()} processors`
  if (count >= THREADS) return pass("threads", about)
  const fix = "take UV_THREADPOOL_SIZE out of the server's environment"
  return warn(
    "threads",
    fail("LIMIT_LOW", {
      limit: "the number of threads that wait for disks",
      value: String(count),
      wanted: String(THREADS),
      fix,
    }),
  )
}
