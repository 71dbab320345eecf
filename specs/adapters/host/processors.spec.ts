/** Which processors a thread is kept to: by a set of the kernel's that is simulated, and by this machine's kernel. */
import { availableParallelism } from "node:os"
import { Worker } from "node:worker_threads"
import { expect, it } from "vitest"
import { keepToProcessors } from "../../../adapters/host/processors.ts"

/** A thread that may run on these, and where it was put. */
const threadOn = (allowed: ReadonlyArray<number>) => {
  let where: ReadonlyArray<number> = allowed
  return {
    where: () => where,
    getaffinity: (_: number, bytes: number, set: Uint8Array) => {
      expect(bytes).toBe(set.length)
      for (const n of allowed) set[n >> 3]! |= 1 << (n % 8)
      return 0
    },
    setaffinity: (_: number, bytes: number, set: Uint8Array) => {
      where = Array.from({ length: 8 * bytes }, (__, n) => n).filter((n) => (set[n >> 3]! >> (n % 8)) & 1)
      return 0
    },
  }
}

it("a thread is kept to those of its processors that have the remainder", () => {
  for (const [allowed, remainder, kept] of [
    [[0, 1, 2, 3], 0, [0, 2]],
    [[0, 1, 2, 3], 1, [1, 3]],
    [[7, 8, 9, 64, 1023], 1, [7, 9, 1023]],
    [[6, 8], 0, [6, 8]],
  ] as const) {
    const thread = threadOn(allowed)
    expect(keepToProcessors(thread)(2, remainder)).toBe(true)
    expect(thread.where()).toEqual(kept)
  }
})

it("it stays where it is if it has none such, or the kernel does not tell, or does not let it", () => {
  const thread = threadOn([0, 2])
  expect(keepToProcessors(thread)(2, 1)).toBe(false)
  expect(thread.where()).toEqual([0, 2])
  expect(keepToProcessors({ ...thread, getaffinity: () => -1 })(2, 0)).toBe(false)
  expect(keepToProcessors({ ...thread, setaffinity: () => -1 })(2, 0)).toBe(false)
})

it.skipIf(process.platform !== "linux" || availableParallelism() < 2)("only the thread that asks is kept", async () => {
  const code = `
    const { parentPort, workerData } = require("node:worker_threads")
    const { readFileSync } = require("node:fs")
    const allowed = (of) => /Cpus_allowed:\\s*([0-9a-f,]+)/.exec(readFileSync(of, "utf8"))[1].replaceAll(",", "")
    void import(workerData).then(({ loadLibc }) => {
      const before = allowed("/proc/thread-self/status")
      const kept = [loadLibc().keepToProcessors(2, 1), loadLibc().keepToProcessors(2, 0)]
      parentPort.postMessage([before, kept, allowed("/proc/thread-self/status"), allowed("/proc/self/status")])
    })`
  const workerData = new URL("../../../adapters/host/libc.ts", import.meta.url).href
  const worker = new Worker(code, { eval: true, workerData })
  const [before, kept, after, process] = await new Promise<[string, Array<boolean>, string, string]>(
    (resolve, reject) => worker.once("message", resolve).once("error", reject),
  )
  const odd = `0x${"a".repeat(before.length)}`
  expect(BigInt(`0x${after}`)).toBe(BigInt(`0x${before}`) & BigInt(odd))
  // Nothing is left for the second.
  expect(kept).toEqual([true, false])
  expect(process).toBe(before)
})
