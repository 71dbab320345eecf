/** `imagelink plugin list | describe | check`: on what is built in, on a third party's, and on one that breaks a promise. */
import { mkdirSync, readdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "vitest"
import type { CheckResult } from "../conformance/support/collect.ts"
import { imagelink, json, refusal, scratch } from "../support/cli.ts"

const folder = scratch("plugins")
const data = join(folder, "data")

interface Checked {
  readonly passed: number
  readonly failed: number
  readonly skipped: number
  readonly checks: ReadonlyArray<CheckResult>
}

/** A plugin in plain JavaScript that imports nothing; `read` is its body. */
const third = (kind: string, read: string, manifest = {}) => {
  const path = join(folder, `${kind}.mjs`)
  const promises = { persistent: true, writable: false, sparse: false, shared: true, local: true, ...manifest }
  writeFileSync(
    path,
    `export default {
      apiVersion: 1, kind: "${kind}", manifest: ${JSON.stringify(promises)},
      open: async () => ({
        sizeBytes: 200000,
        async read(into, at, offset, length) { ${read} },
        async close() {},
      }),
    }`,
  )
  return path
}
const RIGHT = "for (let i = 0; i < length; i++) into[at + i] = (offset + i) % 251"

describe("imagelink plugin", () => {
  it("lists what is built in and what the config names, in words and as JSON", async () => {
    const withConfig = join(folder, "configured")
    const module = third("shelf", RIGHT)
    mkdirSync(withConfig)
    writeFileSync(join(withConfig, "imagelink.toml"), `[[plugin]]\nmodule = ${JSON.stringify(module)}\n`)
    const { status, stdout } = await imagelink(["plugin", "list"], { data: withConfig })
    expect(status).toBe(0)
    const lines = stdout.split("\n").map((line) => line.replace(/ {2,}/g, " | "))
    expect(lines[0]).toBe("NAME | SORT | PERSISTENT | WRITABLE | SPARSE | SHARED | LOCAL | MODULE")
    expect(lines).toContain("file | storage | yes | yes | no | yes | yes | plugins/file")
    expect(lines).toContain("qcow2 | format | plugins/formats/qcow2")
    expect(lines).toContain(`shelf | storage | yes | no | no | yes | yes | ${module}`)
    const rows = await json<ReadonlyArray<{ name: string }>>(["plugin", "list"], { data })
    expect(rows.map(({ name }) => name)).toEqual(expect.arrayContaining(["example", "file", "raw", "vhdx"]))
    expect(rows.map(({ name }) => name)).not.toContain("shelf")
  })

  it("describes what a plugin promises, brings, and wants as its config", async () => {
    const { stdout } = await imagelink(["plugin", "describe", "file"], { data })
    expect(stdout).toBe(
      `storage plugin file, apiVersion 1, from plugins/file
  persistent  yes  bytes outlive the process
  writable    yes  it can hold what is written
  sparse      no   it tells holes from data
  shared      yes  two openings of one config see the same bytes
  local       yes  a read crosses no network
  brings      open, sibling, folder
  config      path is missing
              no-such-key is not a key here; known: path
`,
    )
    expect(await json(["plugin", "describe", "raw"], { data })).toEqual({
      name: "raw",
      sort: "format",
      module: "plugins/formats/raw",
      apiVersion: 1,
      parts: ["probe", "open"],
    })
  })

  it("checks a plugin that keeps its promises, with exit code 0 and what was skipped and why", async () => {
    const config = JSON.stringify({ sizeBytes: 3 * 2 ** 20 })
    const { status, stdout } = await imagelink(["plugin", "check", "example", "--config", config], { data })
    expect(status).toBe(0)
    expect(stdout).toMatch(/^RESULT +PROMISE +WHY$/m)
    expect(stdout).toMatch(/^passed +reads the first byte and the last$/m)
    expect(stdout).toMatch(/^skipped +tells its sample's hole from data +the manifest says sparse: false$/m)
    expect(stdout).toMatch(/\n\n(2\d|3\d) promises kept, 0 broken, \d+ skipped\n$/)
  })

  it("checks the writing into a folder that is named for it, and leaves it empty", async () => {
    const path = join(folder, "image.raw")
    writeFileSync(path, Buffer.alloc(200_000, "imagelink"))
    const into = join(folder, "written")
    const given = ["--config", JSON.stringify({ path }), "--folder-config", JSON.stringify({ path: into })]
    const { failed, checks } = await json<Checked>(["plugin", "check", "file", ...given, "--bytes", path], { data })
    expect(failed).toBe(0)
    expect(checks.filter(({ check }) => check.startsWith("folder: ")).map(({ result }) => result)).toEqual(
      Array(10).fill("passed"),
    )
    expect(readdirSync(into)).toEqual([])
  })

  it("names each broken promise, and ends with exit code 1", async () => {
    const module = third("hollow", `if (offset + length === 200000) length -= 9; ${RIGHT}`)
    const run = await imagelink(["plugin", "check", "hollow", "--module", module, "--config", "{}", "--json"], { data })
    // The reference is read through the guard, which finds out at once.
    expect([run.status, refusal(run).code, refusal(run).cause]).toEqual([
      1,
      "PLUGIN_BROKE_CONTRACT",
      "a read of 200000 bytes at 0 settled before its last bytes were there",
    ])

    const beside = third("beside", `into.fill(0); ${RIGHT}`)
    const bad = await imagelink(["plugin", "check", "beside", "--module", beside, "--config", "{}", "--json"], { data })
    const { failed, checks } = JSON.parse(bad.stdout) as Checked
    expect(bad.status).toBe(1)
    expect(failed).toBe(1)
    expect(checks.filter(({ result }) => result === "failed")).toEqual([
      {
        check: "fills exactly the part of the buffer it was given",
        result: "failed",
        why: expect.stringContaining("byte 512 of 1024 is 0, expected 165"),
      },
    ])
    expect(refusal(bad)).toMatchObject({
      code: "PLUGIN_BROKE_CONTRACT",
      cause: "1 promise is broken, first: fills exactly the part of the buffer it was given",
    })
  })

  it("checks a format with an image and its disk", async () => {
    const path = join(folder, "disk.raw")
    writeFileSync(path, Buffer.alloc(200_192, Uint8Array.of(1, 200, 3)))
    const given = ["--image", path, "--guest", path]
    expect(await json<Checked>(["plugin", "check", "raw", ...given], { data })).toMatchObject({ failed: 0 })
  })

  it.each([
    ["a name that nothing has", ["tape", "--config", "{}"], 1, "PLUGIN_NOT_FOUND"],
    ["a storage plugin without a config", ["file"], 2, "USAGE"],
    ["a config that is not JSON", ["file", "--config", "path=/a"], 2, "USAGE"],
    ["a config with a misspelt key", ["file", "--config", '{"pth":"/a"}'], 1, "PLUGIN_CONFIG_INVALID"],
    ["what is not there", ["file", "--config", '{"path":"/nowhere/a"}'], 1, "IMAGE_FILE_NOT_FOUND"],
    ["what is too short to check", ["example", "--config", '{"sizeBytes":512}'], 1, "PLUGIN_CONFIG_INVALID"],
    ["a format without an image", ["raw"], 2, "USAGE"],
    [
      "a folder where there are none",
      ["example", "--config", '{"sizeBytes":512}', "--folder-config", "{}"],
      2,
      "USAGE",
    ],
  ])("refuses to check %s", async (_, args, exit, code) => {
    const run = await imagelink(["plugin", "check", ...args, "--json"], { data })
    expect([run.status, refusal(run).code, run.stdout]).toEqual([exit, code, ""])
  })
})
