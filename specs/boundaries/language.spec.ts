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

/** Codes of parts that are still being built. An entry leaves with the code's first use; the last test sees to that. */
const waiting: ReadonlyArray<readonly [what: string, codes: string]> = [
  ["core/domain decides on images", "IMAGE_NOT_FOUND IMAGE_VERSION_NOT_FOUND IMAGE_EXISTS IMAGE_NAME_INVALID"],
  [
    "core/domain decides on clients",
    "CLIENT_NOT_FOUND CLIENT_NAME_INVALID CLIENT_NAME_TAKEN CLIENT_MAC_INVALID CLIENT_MAC_TAKEN",
  ],
  ["core/domain decides on addresses and imports", "CLIENT_ADDRESS_INVALID CLIENT_ADDRESS_TAKEN IMPORT_REJECTED"],
  ["core/domain decides on links", "LINK_NOT_FOUND SLOT_INVALID OVERLAY_KEPT"],
  ["core/block keeps overlays", "OVERLAY_LOST OVERLAY_DAMAGED OVERLAY_BASE_MISMATCH OVERLAY_RETIRED"],
  ["core/runtime attaches disks", "OVERLAY_IN_USE IMAGE_CHANGED CRC_MISMATCH EXPORT_DENIED"],
  ["adapters/nbd serves them", "EXPORT_NOT_FOUND PORT_IN_USE LISTEN_FAILED"],
  [
    "core/log keeps the events",
    "STORE_DAMAGED STORE_NEWER STORE_READ_ONLY LOG_CONFLICT COMMAND_REUSED EVENT_TOO_LARGE",
  ],
  [
    "core/log knows its site",
    "EVENT_UNKNOWN SITE_NAME_INVALID VERIFY_FAILED DATA_NOT_FOUND DATA_ACCESS_DENIED DATA_IN_USE",
  ],
  ["adapters/cli and its config", "CONFIG_INVALID USAGE SERVER_NOT_REACHABLE"],
]
const notYetUsed: ReadonlySet<string> = new Set(waiting.flatMap(([, codes]) => codes.split(" ")))

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
  .filter((file) => file !== "core/errors.ts")
  .map(textOf)
const isUsed = (code: string) => sources.some((text) => text.includes(`"${code}"`))

it("every error code is raised or handled somewhere", () => {
  expect(Object.keys(errors).filter((code) => !isUsed(code) && !notYetUsed.has(code))).toEqual([])
})

it("a code that is used, or gone, is not listed as not yet used", () => {
  expect([...notYetUsed].filter((code) => isUsed(code) || !Object.hasOwn(errors, code))).toEqual([])
})
