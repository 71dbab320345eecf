import { execFile } from "node:child_process"
import { join } from "node:path"
import { promisify } from "node:util"
import { expect, it } from "vitest"

it("the example plugin passes its own test, run as its README says", async () => {
  const cwd = join(import.meta.dirname, "../..")
  const { NODE_OPTIONS: _, NODE_TEST_CONTEXT: __, ...env } = process.env
  const args = ["--conditions=source", "--test", "--test-reporter=tap", "examples/write-a-plugin/tar.test.ts"]
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd, env, timeout: 50_000 })
  expect(stdout).toMatch(/^# fail 0$/m)
  expect(Number(/^# pass (\d+)$/m.exec(stdout)?.[1])).toBeGreaterThan(20)
})
