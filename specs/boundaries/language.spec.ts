/**
 * Holds habits that a reader would have to check by eye: no unfinished work on live paths, no muted tests, no error nobody raises.
 */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { expect, it } from "vitest"
import { errors } from "../../core/errors.ts"
import { sourceFiles } from "./imports.ts"

const root = join(import.meta.dirname, "../..")
const live = ["core", "plugins", "adapters", "examples"]
const textOf = (file: string) => readFileSync(join(root, file), "utf8")

/** `file:line` of every line that matches. */
const linesWith = (folders: ReadonlyArray<string>, pattern: RegExp): ReadonlyArray<string> =>
  sourceFiles(root, folders).flatMap((file) =>
    textOf(file)
      .split("\n")
      .flatMap((line, i) => (pattern.test(line) ? [`${file}:${i + 1}`] : [])),
  )

it("nothing on a live path is marked as unfinished", () => {
  expect(linesWith(live, /\b(TODO|FIXME|XXX|HACK)\b/)).toEqual([])
})

it("no spec is muted, and none mutes the others", () => {
  expect(linesWith(["specs"], /\b(it|test|describe|suite)\.(only|skip)\(/)).toEqual([])
})

it("the search finds what it looks for", () => {
  expect(linesWith(["core"], /\bclusterBytes: 64 \* KiB/)).toHaveLength(1)
})

const sources = sourceFiles(root, ["core", "plugins", "adapters"])
  .filter((file) => !file.startsWith("core/errors"))
  .map(textOf)
const isUsed = (code: string) => sources.some((text) => text.includes(`"${code}"`))

it("every error code is raised or handled somewhere", () => {
  expect(Object.keys(errors).filter((code) => !isUsed(code))).toEqual([])
})
