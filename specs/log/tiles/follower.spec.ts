/** The follower publishes what was appended, and at the stop; a failure is said once and mended later. */
import { rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { afterEach, beforeEach, expect, it, vi } from "vitest"
import { limits } from "../../../core/limits.ts"
import { followLog } from "../../../core/log/tiles/follower.ts"
import { discard, temporary } from "../support/store.ts"
import { memoryTlog, publisherOf } from "../support/tlog.ts"

let dir = ""
beforeEach(() => {
  dir = temporary("follower")
})
afterEach(() => {
  vi.useRealTimers()
  discard(dir)
})
const sizeOf = (publisher: ReturnType<typeof publisherOf>) => publisher.published()?.size

it("looks more than once a second", () => {
  expect(limits.checkpointLookMillis).toBeLessThan(500)
})

it("publishes after an append, and the rest when it is closed", async () => {
  const log = memoryTlog()
  const publisher = publisherOf(dir, log)
  const follower = followLog(publisher, (e) => expect.fail(e.message))
  log.grow(3)
  await vi.waitFor(() => expect(sizeOf(publisher)).toBe(3), { timeout: 10_000 })
  log.grow(2)
  await follower.close()
  expect(sizeOf(publisher)).toBe(5)
})

it("publishes nothing for an empty log", async () => {
  const publisher = publisherOf(dir, memoryTlog())
  await followLog(publisher, (e) => expect.fail(e.message)).close()
  expect(sizeOf(publisher)).toBe(undefined)
})

it("says once what is wrong, and publishes once it is mended", async () => {
  const log = memoryTlog(3)
  const publisher = publisherOf(dir, log)
  writeFileSync(join(dir, "tlog"), "a file in the folder's place")
  const said: Array<string> = []
  const follower = followLog(publisher, (e) => said.push(e.code))
  await vi.waitFor(() => expect(said.length).toBe(1), { timeout: 10_000 })
  rmSync(join(dir, "tlog"))
  await follower.close()
  expect([said.length, sizeOf(publisher)]).toEqual([1, 3])
})
