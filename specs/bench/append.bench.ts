/**
 * What an append costs over the bare synced batch it stands on: `node --conditions=source specs/bench/append.bench.ts`.
 *
 * Both are run in turns on the same disk, so that its mood falls on both; the ratio of the medians is what is compared over time.
 */
import { join } from "node:path"
import * as Effect from "effect/Effect"
import { eventKey } from "../../core/log/keys.ts"
import { database, discard, newStore, open, request, temporary } from "../log/support/store.ts"

const rounds = Number(process.argv[2] ?? 1500)
const warm = 100

const dir = await newStore("bench")
const bareDir = temporary("bench")
const { log, close } = await open(dir)
const bare = await database(join(bareDir, "db"), { createIfMissing: true, errorIfExists: true, compression: false })
await bare.open()
const value = Buffer.alloc(300, "x")
/** `sync` is LevelDB's own, which the abstract type does not know. */
const synced: object = { keyEncoding: "utf8", sync: true }

const time = async (run: () => Promise<unknown>): Promise<number> => {
  const from = performance.now()
  await run()
  return performance.now() - from
}
const median = (times: Array<number>): number => times.sort((a, b) => a - b)[times.length >> 1]!

const appends: Array<number> = []
const batches: Array<number> = []
for (let n = 1; n <= rounds + warm; n++) {
  const append = await time(() => Effect.runPromise(log.append(request(n, log))))
  const batch = await time(() => bare.batch([{ type: "put", key: eventKey(n), value }], synced))
  if (n <= warm) continue
  appends.push(append)
  batches.push(batch)
}
await close()
await bare.close()
discard(dir)
discard(bareDir)

const [append, batch] = [median(appends), median(batches)]
const microseconds = (ms: number) => `${(ms * 1000).toFixed(0)} µs`
console.log(
  `append ${microseconds(append)}, bare batch ${microseconds(batch)}, ratio ${(append / batch).toFixed(2)} (${rounds} each)`,
)
