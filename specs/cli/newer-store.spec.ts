/** A data folder of a newer version: every command and the server refuse it by name before they write a byte; one of an older version just opens. */
import { cpSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { beforeAll, describe, expect, it } from "vitest"
import { crc32c } from "../../core/bytes.ts"
import { canonicalBytes } from "../../core/log/canonical.ts"
import { siteKeyFromSeed, siteKeyPem } from "../../core/log/site-key.ts"
import { storePaths } from "../../core/log/store-files.ts"
import { imagelink, json, refusal, scratch, startServe } from "../support/cli.ts"

const folder = scratch("newer-store")
const original = join(folder, "original")
const recorded = join(import.meta.dirname, "../fixtures/recorded")

type Body = Record<string, unknown>

/** The data folder as another version would have left it. */
const written = (name: string, change: (body: Body) => Body): string => {
  const data = join(folder, name)
  cpSync(original, data, { recursive: true })
  const { json: file } = storePaths(data)
  const { crc32c: _, ...body } = JSON.parse(readFileSync(file, "utf8")) as Body
  const changed = change(body)
  const checksum = crc32c(canonicalBytes(changed)).toString(16).padStart(8, "0")
  writeFileSync(file, JSON.stringify({ ...changed, crc32c: checksum }))
  return data
}

const content = (data: string) =>
  readdirSync(data, { recursive: true, encoding: "utf8" })
    .filter((name) => statSync(join(data, name)).isFile())
    .sort()
    .map((name) => [name, readFileSync(join(data, name), "base64")])

beforeAll(() => json(["client", "add", "52:54:00:00:00:01"], { data: original }))

describe.each([
  ["another format", (body: Body) => ({ ...body, format: 2 }), "its format is 2; this version reads format 1"],
  [
    "a feature that its readers must know",
    (body: Body) => ({ ...body, features: { compatible: 0, incompatible: 4 } }),
    "it uses features that this version does not know (bits 4)",
  ],
])("a store with %s", (name, change, cause) => {
  const refused = {
    code: "STORE_NEWER",
    message: expect.stringMatching(/store\/store\.json was written by a newer Imagelink$/),
    cause,
    fix: "use that version of Imagelink, or newer",
  }

  it("is refused by commands that read and that change, by repair and by the server, and stays as it is", async () => {
    const data = written(name.replaceAll(" ", "-"), change)
    const before = content(data)
    for (const args of [["links"], ["client", "add", "52:54:00:00:00:02"], ["repair"], ["serve", "--nbd-port", "0"]]) {
      const run = await imagelink([...args, "--json"], { data })
      expect([args[0], run.status, run.stdout]).toEqual([args[0], 3, ""])
      expect(refusal(run)).toMatchObject(refused)
    }
    expect(content(data)).toEqual(before)
  })
})

it("a feature that readers may ignore is ignored", async () => {
  const data = written("compatible", (body) => ({ ...body, features: { compatible: 4, incompatible: 0 } }))
  expect(await json(["client", "list"], { data })).toMatchObject([{ name: "PC-001" }])
})

it.each(readdirSync(recorded).filter((name) => /^\d/.test(name)))(
  "the store of version %s is served, keeps its events byte for byte, and takes new ones after them",
  async (release) => {
    const data = join(folder, release)
    cpSync(join(recorded, release), data, { recursive: true })
    const seed = Buffer.from(readFileSync(join(recorded, "site-key-seed.hex"), "utf8").trim(), "hex")
    writeFileSync(storePaths(data).key, siteKeyPem(siteKeyFromSeed(seed)), { mode: 0o600 })
    const then = readFileSync(join(recorded, release, "events.jsonl"), "utf8")
    const server = await startServe(data)
    const added = await json<{ position: number }>(["client", "add", "52:54:00:ff:00:01"], { data })
    const { stdout } = await imagelink(["log", "--json"], { data })
    await server.stop()
    expect(stdout.startsWith(then)).toBe(true)
    expect(added.position).toBe(then.trimEnd().split("\n").length + 1)
    expect(await json(["audit", "verify"], { data })).toMatchObject({ size: added.position })
  },
)
