import { expect, it } from "vitest"
import { limits } from "../../core/limits.ts"

it("limits agree with each other when the module loads", () => {
  expect(limits.clusterBytes).toBe(65_536)
})
