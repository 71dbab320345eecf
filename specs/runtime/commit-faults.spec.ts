/** A server whose disk fails at one step of a commit: nothing is announced, nothing is lost, and the next commit makes it. */
import { join } from "node:path"
import { expect, it } from "vitest"
import { LayerMapBudget } from "../../core/block/layers/budget.ts"
import { fail } from "../../core/errors.ts"
import { makeLayerStore } from "../../core/runtime/layer-store.ts"
import { scratch } from "../support/cli.ts"
import { clientBytes, codeOf, editAsSuper, imageOf, makeLab, versionBytes } from "../support/committing.ts"
import { serveHere } from "../support/serving.ts"

/** The same object, each of whose asynchronous calls is a step; so are those of the folders and files that it opens. */
const stepping = <A extends object>(of: A, step: () => void): A =>
  new Proxy(of, {
    get(target, key) {
      const value: unknown = Reflect.get(target, key, target)
      if (typeof value !== "function") return value
      return (...args: ReadonlyArray<unknown>) => {
        if (key === "folder") return stepping(value.apply(target, args), step)
        if (key === "close") return value.apply(target, args)
        step()
        const answer = value.apply(target, args)
        return key === "open" ? answer.then((file: object) => stepping(file, step)) : answer
      }
    },
  })

it("a commit that fails at any step is made by the next, whole", async () => {
  const folder = scratch("commit-faults")
  let failAt = 0
  let steps = 0
  const step = () => {
    if (failAt > 0 && ++steps === failAt) throw fail("NO_SPACE", { offset: 0, length: 1 })
  }
  const here = await serveHere(join(folder, "data"), ({ data, files, opener }) => ({
    layers: makeLayerStore(stepping(data, step), stepping(files, step), opener),
    layerMaps: new LayerMapBudget(),
  }))
  const lab = await makeLab(here, folder, 1)
  const after = await editAsSuper(here, lab, lab.client(1), lab.bytes)
  let outcome = ""
  for (failAt = 1; outcome !== "accepted"; failAt++) {
    steps = 0
    outcome = await codeOf(here.do("image.commit", { name: lab.image }))
    expect(["NO_SPACE", "accepted"], `step ${failAt}`).toContain(outcome)
    expect((await imageOf(here, lab.image)).versions.length, `step ${failAt}`).toBe(outcome === "accepted" ? 2 : 1)
    expect(await clientBytes(here, lab.client(1)), `step ${failAt}`).toEqual(after)
  }
  // tables removed and written, data linked, parent pointed to, folder synced, two files recorded: a step each, at the least
  expect(failAt).toBeGreaterThan(8)
  expect([await versionBytes(here, lab.image, 1), await versionBytes(here, lab.image, 2)]).toEqual([lab.bytes, after])
  await here.close()
})
