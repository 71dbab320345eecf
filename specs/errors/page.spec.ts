/** The errors' page is current, whole and readable; `imagelink explain` prints from the same text. */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "vitest"
import { errorCodes, errorsPage, explain } from "../../core/errors-page.ts"
import { worked, workedCodes } from "../../core/errors-worked.ts"
import { imagelink, json, refusal } from "../support/cli.ts"

describe("core/ERRORS.md", () => {
  it("is what the list of errors makes now (specs/errors/write-page.ts writes it anew)", () => {
    expect(readFileSync(join(import.meta.dirname, "../../core/ERRORS.md"), "utf8")).toBe(errorsPage())
  })

  it("has every code once, with message, cause, fix and exit code in whole words", () => {
    const page = errorsPage()
    for (const code of errorCodes) {
      expect(page.split(`\n### ${code}\n`)).toHaveLength(2)
      const { message, cause, fix, exit } = explain(code)
      for (const text of [message, cause, fix]) {
        expect(text, code).not.toMatch(/undefined|NaN|\[object|\n/)
        expect(text.length, code).toBeGreaterThan(3)
      }
      expect([1, 2, 3, 4]).toContain(exit)
    }
  })

  it("works the five through that operators meet most, those that exist", () => {
    const there = workedCodes.filter((code) => (errorCodes as ReadonlyArray<string>).includes(code))
    expect(there).toEqual(expect.arrayContaining(["IMAGE_FILE_NOT_FOUND", "IMAGE_ACCESS_DENIED", "CRC_MISMATCH"]))
    for (const code of there) expect(errorsPage()).toContain(`### ${code}: step by step`)
  })

  it("names only commands that exist", async () => {
    const verbsOf = async (...parent: ReadonlyArray<string>) => {
      const { stdout } = await imagelink([...parent, "--help"])
      return [...stdout.matchAll(/^ {2}([a-z][a-z-]*)/gm)].map(([, name]) => [...parent, name].join(" "))
    }
    const top = await verbsOf()
    const verbs = new Set([
      ...top,
      ...(await verbsOf("image")),
      ...(await verbsOf("client")),
      ...(await verbsOf("audit")),
    ])
    const parents = ["image", "client", "audit"]
    for (const code of errorCodes) {
      const texts = [...(worked[code]?.steps ?? []), worked[code]?.see ?? "", explain(code).fix]
      for (const [, first = "", second = ""] of texts.join(" ").matchAll(/\bimagelink ([a-z]+)(?: ([a-z-]+))?/g)) {
        const named = parents.includes(first) && second !== "" ? `${first} ${second}` : first
        expect(verbs, `${code}: imagelink ${named}`).toContain(named)
      }
    }
  })
})

describe("imagelink explain", () => {
  it("prints what the page says of a code, in any case", async () => {
    const { status, stdout } = await imagelink(["explain", "image_file_not_found"])
    expect(status).toBe(0)
    expect(stdout).toMatch(/^IMAGE_FILE_NOT_FOUND \(exit 1\)\n {2}message: image IMAGE: the file PATH is not there\n/)
    expect(stdout).toMatch(/^1\. See which path is recorded: /m)
    expect(await json(["explain", "USAGE"])).toEqual(explain("USAGE"))
  })

  it("lists all codes without one, and says which is near one that is none", async () => {
    const { stdout } = await imagelink(["explain"])
    expect(
      stdout
        .trim()
        .split("\n")
        .slice(1)
        .map((line) => line.split(" ")[0]),
    ).toEqual(errorCodes)
    const run = await imagelink(["explain", "STORE_DAMAGD", "--json"])
    expect([run.status, refusal(run).code, refusal(run).message]).toEqual([
      2,
      "USAGE",
      "there is no error STORE_DAMAGD; the nearest is STORE_DAMAGED",
    ])
  })
})
