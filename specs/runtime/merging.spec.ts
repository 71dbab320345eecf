/** A server merges long chains by itself: what is current or used, once it is checked, and nothing else. */
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { catalogueProjection } from "../../core/projections/catalogue.ts"
import { candidates, makeMerging } from "../../core/runtime/merging.ts"
import { scratch } from "../support/cli.ts"
import { checked, clientBytes, editAsSuper, imageOf, type Lab, makeLab, until } from "../support/committing.ts"
import { type ServingSite, serveHere } from "../support/serving.ts"

const folder = scratch("merging")
const data = join(folder, "data")
const actor = { kind: "server", name: "here" } as const
let here: ServingSite
let lab: Lab
const bytes: Array<Buffer> = []

const over = async () => (await imageOf(here, lab.image)).versions.map((v) => v.over)
const found = async (layersMax: number, used: ReadonlyArray<number> = []) =>
  candidates(await here.parts.views.state(catalogueProjection), () => used, layersMax).map(({ number, layers }) => [
    number,
    layers,
  ])
const merging = (layersMax: number, said: Array<string>, more: { readonly bytesPerSecond?: number } = {}) =>
  makeMerging(here.parts, { actor, layersMax, report: (_, text) => said.push(text), lookMillis: 5, ...more })

beforeAll(async () => {
  here = await serveHere(data)
  lab = await makeLab(here, folder, 2)
  bytes.push(lab.bytes)
  for (let n = 2; n <= 5; n++) {
    bytes.push(await editAsSuper(here, lab, lab.client(1), bytes.at(-1)!, n - 1))
    await here.do("image.commit", { name: lab.image })
    await checked(here, lab.image, n)
  }
}, 60_000)
afterAll(() => here.close())

describe("a chain of layers", () => {
  it("is long when it has more of them than that, under what is current or used", async () => {
    expect(await found(4)).toEqual([])
    expect(await found(3)).toEqual([[5, 4]])
    expect(await found(2, [4, 3, 5])).toEqual([
      [5, 4],
      [4, 3],
    ])
  })

  it("is left as it is while merging is off", async () => {
    const off = merging(0, [])
    off.start()
    await off.close()
    expect(await over()).toEqual([null, 1, 2, 3, 4])
  })

  it("is left whole when the server stops while it is merged", async () => {
    const said: Array<string> = []
    const stopped = merging(2, said, { bytesPerSecond: 1 })
    stopped.start()
    await until(() => here.site.call("jobs", {}, { actor }).then((jobs) => jobs.at(-1)!.title.startsWith("flatten")))
    await stopped.close()
    expect([said, await over()]).toEqual([[], [null, 1, 2, 3, 4]])
    expect(
      await here.parts.data
        .folder("layers")
        .folder((await imageOf(here, lab.image)).id)
        .list(),
    ).not.toContain("v5-over-1.qcow2")
  })

  it("is merged once, under its clients, and told", async () => {
    const client = await here.attach(lab.client(2))
    const said: Array<string> = []
    const running = merging(2, said)
    running.start()
    await until(async () => (await over())[4] === 1)
    await until(() => said.length > 0)
    await running.close()
    expect(said).toEqual([`merged the 4 layers of ${lab.image}@5 into one file`])
    await client.release()
    expect((await clientBytes(here, lab.client(2))).equals(bytes[4]!)).toBe(true)
    expect(await found(1)).toEqual([])
  })
})
