import * as fs from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import { afterAll, beforeAll, expect, it } from "vitest"
import { loadPluginModule } from "../../../adapters/host/load-plugin.ts"

const good = `export default {
  apiVersion: 1, kind: "shelf",
  manifest: { persistent: true, writable: false, sparse: false, shared: true, local: true },
  open() {},
}`
let dir: string
const put = async (name: string, text: string) => {
  await fs.mkdir(join(dir, name, ".."), { recursive: true })
  await fs.writeFile(join(dir, name), text)
}
const reason = (specifier: string) =>
  loadPluginModule(specifier, dir).then(
    () => "loaded",
    (error: { code: string; reason: string }) => `${error.code}: ${error.reason}`,
  )

beforeAll(async () => {
  dir = await fs.mkdtemp(join(tmpdir(), "imagelink-load-"))
  await put("shelf.mjs", good)
  await put("format.mjs", `export default { apiVersion: 1, format: "toy", probe() {}, open() {} }`)
  await put(
    "node_modules/imagelink-shelf/package.json",
    `{ "name": "imagelink-shelf", "type": "module", "exports": "./main.js" }`,
  )
  await put("node_modules/imagelink-shelf/main.js", good)
})
afterAll(() => fs.rm(dir, { recursive: true, force: true }))

it("loads a plugin by relative path, absolute path, URL and package name", async () => {
  const path = join(dir, "shelf.mjs")
  for (const specifier of ["./shelf.mjs", path, pathToFileURL(path).href, "imagelink-shelf"])
    expect(await loadPluginModule(specifier, dir)).toMatchObject({ kind: "shelf" })
  expect(await loadPluginModule("./format.mjs", dir)).toMatchObject({ format: "toy" })
})

it("refuses what is not there, does not parse, throws, or exports no plugin, saying which", async () => {
  await put("throws.mjs", `throw new Error("no licence\\nat all")`)
  await put("syntax.mjs", "export default {")
  await put("named.mjs", "export const plugin = {}")
  expect(await reason("./none.mjs")).toMatch(/^PLUGIN_INVALID: it cannot be loaded: .*none\.mjs/)
  expect(await reason("imagelink-none")).toMatch(/^PLUGIN_INVALID: it cannot be loaded: .*imagelink-none/)
  expect(await reason("./syntax.mjs")).toMatch(/^PLUGIN_INVALID: it cannot be loaded: /)
  expect(await reason("./throws.mjs")).toBe("PLUGIN_INVALID: it cannot be loaded: no licence")
  expect(await reason("./named.mjs")).toBe("PLUGIN_INVALID: it has no default export that is an object")
})
