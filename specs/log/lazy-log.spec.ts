import { readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { afterEach, beforeEach, describe, expect, it } from "vitest"
import { openLazyLog } from "../../core/log/lazy-log.ts"
import { database, discard, newStore, open, request, upcaster } from "./support/store.ts"

describe("the lazy log", () => {
  let dir: string
  beforeEach(async () => {
    dir = await newStore("lazy")
    const { log, close } = await open(dir)
    for (let n = 1; n <= 3; n++) await Effect.runPromise(log.append(request(n, log)))
    await close()
  })
  afterEach(() => discard(dir))

  const lazily = async () => {
    const scope = Scope.makeUnsafe()
    const log = await Effect.runPromise(Scope.provide(openLazyLog({ dir, database, upcaster, server: "spec" }), scope))
    return { log, close: () => Effect.runPromise(Scope.close(scope, Exit.void)) }
  }
  const files = () => readdirSync(join(dir, "store/db")).sort()

  it("knows the head and its command without opening the database", async () => {
    const before = files()
    const { log, close } = await lazily()
    expect([log.head(), log.headCommand()]).toEqual([3, request(3, { head: () => 2 } as never).command])
    await close()
    expect(files()).toEqual(before)
  })

  it("reads, appends and follows as the whole log does", async () => {
    const { log, close } = await lazily()
    expect((await Effect.runPromise(log.page(0, 10))).map((e) => e.position)).toEqual([1, 2, 3])
    await Effect.runPromise(log.append(request(4, log)))
    expect(log.head()).toBe(4)
    await close()
    const again = await lazily()
    expect(again.log.head()).toBe(4)
    await again.close()
  })

  it("finds damage when the database is really needed", async () => {
    const name = files().find((f) => f.endsWith(".log"))!
    const path = join(dir, "store/db", name)
    const bytes = readFileSync(path)
    if (bytes.length === 0) throw new Error("the newest write-ahead log is empty; nothing to flip")
    bytes[20]! ^= 1
    writeFileSync(path, bytes)
    const { log, close } = await lazily()
    await expect(Effect.runPromise(log.page(0, 10))).rejects.toMatchObject({ code: "STORE_DAMAGED" })
    await close()
  })
})
