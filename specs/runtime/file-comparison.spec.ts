/** Two listings of one file system, compared. */
import { describe, expect, it } from "vitest"
import { FileComparison } from "../../core/runtime/file-comparison.ts"
import type { ListedFile } from "../../core/runtime/file-lister.ts"

const file = (path: string, more: Partial<ListedFile> = {}): ListedFile => ({
  ...{ path, directory: false, sizeBytes: 10, modifiedAt: 1000, changedAt: 1000, inode: "5", rights: "rw 0:0" },
  ...more,
})
const compare = (before: ReadonlyArray<ListedFile>, after: ReadonlyArray<ListedFile>, rowsMax = 100) => {
  const comparison = new FileComparison(rowsMax)
  before.forEach(comparison.before)
  after.forEach(comparison.after)
  return { rows: comparison.end(), totals: comparison.totals }
}
const by = (was: Partial<ListedFile>, is: Partial<ListedFile>) =>
  compare([file("/a", was)], [file("/a", is)]).rows.map((row) => row.by)

describe("two listings", () => {
  it("that are equal, or empty, have no differences", () => {
    const none = { rows: [], totals: { added: 0, removed: 0, changed: 0 } }
    expect(compare([], [])).toEqual(none)
    expect(compare([file("/a"), file("/b")], [file("/b"), file("/a")])).toEqual(none)
  })

  it("differ in what is in one of them, in order of the paths", () => {
    expect(compare([file("/a"), file("/c")], [file("/b", { sizeBytes: 0 }), file("/c")])).toEqual({
      rows: [
        { change: "removed", path: "/a", before: 10, after: null, by: [] },
        { change: "added", path: "/b", before: null, after: 0, by: [] },
      ],
      totals: { added: 1, removed: 1, changed: 0 },
    })
  })

  it("take a path that is listed twice once", () => {
    expect(compare([file("/a"), file("/a")], [file("/a"), file("/a"), file("/b"), file("/b")]).totals).toEqual({
      ...{ added: 1, removed: 0, changed: 0 },
    })
  })

  it("are listed up to a limit, and counted whole", () => {
    const { rows, totals } = compare([file("/a")], [file("/b"), file("/c")], 1)
    expect([rows.length, totals]).toEqual([1, { added: 2, removed: 1, changed: 0 }])
    expect(compare([file("/a")], [], 0)).toEqual({ rows: [], totals: { added: 0, removed: 1, changed: 0 } })
  })
})

describe("a listing", () => {
  it("has as many files as may be held, and not one more, in either version", () => {
    const full = new FileComparison(9, 2)
    for (const path of ["/a", "/b"]) full.before(file(path))
    for (const path of ["/a", "/c"]) full.after(file(path))
    expect(full.end()).toHaveLength(2)
    for (const side of ["before", "after"] as const) {
      const over = new FileComparison(9, 2)
      for (const path of ["/a", "/b"]) over[side](file(path))
      expect(() => over[side](file("/c"))).toThrow(
        expect.objectContaining({ code: "FILE_LISTING_FAILED", reason: "it has more than 2 files" }),
      )
    }
  })
})

describe("a file", () => {
  it("differs by size, time, inode and rights", () => {
    expect(by({}, { sizeBytes: 11, modifiedAt: 1001 })).toEqual([["size", "modified"]])
    expect(by({}, { inode: "6", changedAt: 2000 })).toEqual([["inode"]])
    expect(by({}, { rights: "r- 0:0" })).toEqual([["rights"]])
  })

  it("whose old time was put back differs by the time of its last change", () => {
    expect(by({}, { changedAt: 1001 })).toEqual([["changed"]])
  })

  it("that became a folder differs, and a folder does not by what its entries did to it", () => {
    expect(by({}, { directory: true, rights: "d 0:0", sizeBytes: 0 })).toEqual([["rights", "size"]])
    expect(by({ directory: true }, { directory: true, sizeBytes: 0, modifiedAt: 9, changedAt: 9 })).toEqual([])
    expect(by({ directory: true }, { directory: true, inode: "6" })).toEqual([["inode"]])
  })
})
