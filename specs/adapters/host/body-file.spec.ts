/** Lines of fls, as Sleuth Kit 4.11 printed them. */
import { expect, it } from "vitest"
import { readBodyLine } from "../../../adapters/host/body-file.ts"

const read = (line: string) => {
  const file = readBodyLine(line)
  return file && [file.path, file.directory, file.sizeBytes, file.modifiedAt, file.changedAt, file.inode, file.rights]
}

it("a file and a folder of ext4 have all of their fields", () => {
  expect(read("0|/a.txt|12|r/rrw-r--r--|1000|100|6|1|1795402142|3|4")).toEqual([
    ...["/a.txt", false, 6, 1795402142, 3, "12", "rrw-r--r-- 1000:100"],
  ])
  expect(read("0|/lost+found|11|d/drwx------|0|0|12288|1|2|3|4")).toEqual([
    ...["/lost+found", true, 12288, 2, 3, "11", "drwx------ 0:0"],
  ])
})

it("a name may have the separator in it, begin and end with it", () => {
  expect(read("0|/sub/p|q|16|r/rrw-r--r--|0|0|2|1|2|3|4")?.[0]).toBe("/sub/p|q")
  expect(read("0||/|||16|r/rrw-r--r--|0|0|2|1|2|3|4")?.[0]).toBe("|/||")
})

it("a link is told by its own name", () => {
  expect(read("0|/link -> a.txt|13|l/lrwxrwxrwx|0|0|5|1|2|3|4")?.[0]).toBe("/link")
  expect(read("0|/a -> b|13|r/rrwxrwxrwx|0|0|5|1|2|3|4")?.[0]).toBe("/a -> b")
})

it("a stream of NTFS is a file of its own, and its record of the name is none", () => {
  expect(read("0|/f:Zone.Identifier|64-128-4|r/rrwxrwxrwx|48|0|26|1|2|3|4")?.[0]).toBe("/f:Zone.Identifier")
  expect(read("0|/hello.txt ($FILE_NAME)|64-48-3|r/rrwxrwxrwx|48|0|84|1|2|3|4")).toBeUndefined()
})

it("entries that the tool makes up are no files, nor is a line that is no entry", () => {
  expect(read("0|/$OrphanFiles|2049|V/V---------|0|0|0|0|0|0|0")).toBeUndefined()
  expect(read("0|/$FAT1|32692|v/v---------|0|0|1024|0|0|0|0")).toBeUndefined()
  for (const line of ["", "0|/a|12|r/r|0|0|6|1|2|3", "Invalid argument"]) expect(read(line)).toBeUndefined()
})
