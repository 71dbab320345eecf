/** How differing files are printed. */
import { afterEach, beforeEach, expect, it, vi } from "vitest"
import { printFileDiff, shownPath } from "../../adapters/cli/verbs/file-diff.ts"
import type { PartitionDiff } from "../../core/runtime/site/image-diff.ts"

let printed = ""
beforeEach(() => {
  printed = ""
  vi.spyOn(process.stdout, "write").mockImplementation((text) => {
    printed += String(text)
    return true
  })
})
afterEach(() => void vi.restoreAllMocks())

const none = { added: 0, removed: 0, changed: 0 }
const partition = (more: Partial<PartitionDiff>): PartitionDiff => ({
  ...{ number: 1, offset: 1048576, sizeBytes: 1048576, in: "both", fileSystem: { from: "ext", to: "ext" } },
  ...{ outcome: "compared", why: null, changedBytes: 4096, totals: none },
  ...more,
})

it("names are shown without a word to the terminal", () => {
  expect(shownPath("/plain name.txt")).toBe("/plain name.txt")
  expect(shownPath("/wörk/日本/😀")).toBe("/wörk/日本/😀")
  expect(shownPath("/a\u001b[31m\n\u009b\u202e\u2028\u007f\u200b")).toBe(
    "/a\\u{1b}[31m\\u{a}\\u{9b}\\u{202e}\\u{2028}\\u{7f}\\u{200b}",
  )
})

it("partitions and files are tables, and what is not listed is counted", () => {
  printFileDiff({
    partitions: [
      partition({ totals: { added: 1, removed: 0, changed: 2 } }),
      partition({ number: 2, outcome: "same", changedBytes: 0 }),
      partition({ number: 3, outcome: "unread", why: "fls says: \u001bno", fileSystem: { from: "empty", to: "xfs" } }),
      partition({ number: 4, in: "to", fileSystem: { from: null, to: "fat32" } }),
    ],
    rows: [
      { partition: 1, change: "changed", path: "/a", before: 1, after: 2048, by: ["size", "modified"] },
      { partition: 1, change: "added", path: "/b", before: null, after: 0, by: [] },
    ],
    totals: { added: 1, removed: 0, changed: 2 },
  })
  expect(printed.split("\n")).toEqual([
    "PARTITION   OFFSET   SIZE  FILE SYSTEM  DIFFERS  FILES",
    "        1  1048576  1 MiB  ext            4 KiB  1 added, 0 removed, 2 changed",
    "        2  1048576  1 MiB  ext              0 B  nothing was written to it",
    "        3  1048576  1 MiB  empty → xfs    4 KiB  not known: fls says: \\u{1b}no",
    "        4  1048576  1 MiB  fat32          4 KiB  0 added, 0 removed, 0 changed, only in the later one named",
    "PARTITION  CHANGE          SIZE  BY              PATH",
    "        1  changed  1 B → 2 KiB  size, modified  /a",
    "        1  added            0 B  -               /b",
    "… and 1 more; --limit lists more of them",
    "",
  ])
})

it("a disk without a table is told as that, and nothing is listed where nothing is", () => {
  printFileDiff({ partitions: [partition({ number: 0, offset: 0 })], rows: [], totals: none })
  expect(printed.split("\n")).toEqual([
    "PARTITION  OFFSET   SIZE  FILE SYSTEM  DIFFERS  FILES",
    "     disk       0  1 MiB  ext            4 KiB  0 added, 0 removed, 0 changed",
    "",
  ])
})
