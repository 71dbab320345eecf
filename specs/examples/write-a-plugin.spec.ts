import { execFile } from "node:child_process"
import { cpSync, mkdirSync, readFileSync, symlinkSync } from "node:fs"
import { join } from "node:path"
import { promisify } from "node:util"
import { expect, it } from "vitest"
import { scratch } from "../support/cli.ts"

const root = join(import.meta.dirname, "../..")
const example = join(root, "examples/write-a-plugin")
/** Lines of a terminal window, twice. */
const TWO_SCREENS = 110

/** As npm installs a package from a folder: by a link. */
const installed = (): string => {
  const own = join(scratch("write-a-plugin"), "imagelink-tar")
  cpSync(example, own, { recursive: true, filter: (path) => !path.includes("node_modules") })
  mkdirSync(join(own, "node_modules"))
  symlinkSync(root, join(own, "node_modules/imagelink"))
  return own
}

it("the example plugin is a package of its own, whose test passes where it was put", async () => {
  const { NODE_OPTIONS: _, NODE_TEST_CONTEXT: __, ...env } = process.env
  const { scripts, peerDependencies } = JSON.parse(readFileSync(join(example, "package.json"), "utf8"))
  expect([scripts.test, Object.keys(peerDependencies)]).toEqual(["node --test tar.test.ts", ["imagelink"]])
  const args = ["--conditions=source", "--test", "--test-reporter=tap", "tar.test.ts"]
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: installed(), env, timeout: 50_000 })
  expect(stdout).toMatch(/^# fail 0$/m)
  expect(Number(/^# pass (\d+)$/m.exec(stdout)?.[1])).toBeGreaterThan(20)
})

it("the example plugin fits on two screens, and imports the two doors only", () => {
  const source = readFileSync(join(example, "tar.ts"), "utf8")
  expect(source.split("\n").length).toBeLessThanOrEqual(TWO_SCREENS)
  const imports = ["tar.ts", "tar.test.ts"].flatMap((file) =>
    [...readFileSync(join(example, file), "utf8").matchAll(/ from "(imagelink[^"]*)"/g)].map(([, name]) => name),
  )
  expect(imports.sort()).toEqual(["imagelink/conformance/storage-plugin", "imagelink/plugin"])
})
