import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import { afterAll, expect, it } from "vitest"
import { linuxHost } from "../../adapters/host/linux.ts"
import { checkpointFolder } from "../../core/runtime/checkpoint-folder.ts"
import { fileFolder } from "../../plugins/file/folder.ts"

const dir = mkdtempSync(join(tmpdir(), "imagelink-checkpoints-"))
afterAll(() => rmSync(dir, { recursive: true, force: true }))
const store = checkpointFolder(fileFolder(join(dir, "projections"), linuxHost()))
const run = <A>(effect: Effect.Effect<A, unknown>) => Effect.runPromise(effect)
const bytes = Buffer.from("the same again, ".repeat(1000))
const file = (name: string) => join(dir, "projections", `${name}.checkpoint`)

it("an empty folder has no checkpoint, and removing one is fine", async () => {
  expect(await run(store.list())).toEqual([])
  expect(await run(store.load("links"))).toBeUndefined()
  await run(store.remove("links"))
})

it("the newest checkpoint is kept as it is, one along the log packed; both come back byte for byte", async () => {
  for (const name of ["links", "links-at-50000"]) await run(store.save(name, bytes))
  expect(readFileSync(file("links"))).toEqual(bytes)
  expect(readFileSync(file("links-at-50000")).length).toBeLessThan(bytes.length / 10)
  for (const name of ["links", "links-at-50000"]) expect(Buffer.from((await run(store.load(name)))!)).toEqual(bytes)
  expect([...(await run(store.list()))].sort()).toEqual(["links", "links-at-50000"])
  await run(store.remove("links"))
  expect(await run(store.list())).toEqual(["links-at-50000"])
})

it("a packed one that is damaged or cut is an error of the list", async () => {
  const whole = readFileSync(file("links-at-50000"))
  const flipped = Buffer.from(whole)
  flipped[flipped.length >> 1]! ^= 0xff
  for (const bad of [flipped, whole.subarray(0, whole.length - 1), whole.subarray(0, 2)]) {
    writeFileSync(file("links-at-50000"), bad)
    const result = await run(Effect.result(store.load("links-at-50000")))
    expect(result).toMatchObject({ _tag: "Failure", failure: { code: "IO_ERROR" } })
  }
})
