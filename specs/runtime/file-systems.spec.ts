/** File systems by their signatures. */
import { expect, it } from "vitest"
import { fileSystemOf, hasBootSector, SIGNATURE_BYTES } from "../../core/runtime/file-systems.ts"

const start = (at: number, bytes: string, length = SIGNATURE_BYTES) => {
  const buffer = Buffer.alloc(length)
  buffer.write(bytes, at, "latin1")
  return buffer
}
const encrypted = "it is encrypted"
const noTool = "no tool that lists its files is known here"

it("each is told by its own signature, and whether its files can be listed", () => {
  for (const [at, bytes, name, unread] of [
    [3, "NTFS    ", "ntfs", null],
    [3, "EXFAT   ", "exfat", null],
    [54, "FAT12   ", "fat12", null],
    [54, "FAT16   ", "fat16", null],
    [82, "FAT32   ", "fat32", null],
    [1080, "\x53\xef", "ext", null],
    [32_769, "CD001", "iso9660", null],
    [1024, "H+\0\x04", "hfs+", null],
    [9564, "\x54\x19\x01\0", "ufs", null],
    [66_908, "\x19\x01\x54\x19", "ufs", null],
    [3, "-FVE-FS-", "bitlocker", encrypted],
    [0, "LUKS\xba\xbe", "luks", encrypted],
    [3, "ReFS\0\0\0\0", "refs", noTool],
    [0, "XFSB", "xfs", noTool],
    [65_600, "_BHRfS_M", "btrfs", noTool],
    [4086, "SWAPSPACE2", "swap", "it has no files"],
    [512, "LABELONE", "lvm", "it holds volumes, and is no file system"],
  ] as const)
    expect(fileSystemOf(start(at, bytes))).toEqual({ name, unread })
})

it("a partition of zeros is empty, and one that is too short for a signature has none", () => {
  expect(fileSystemOf(Buffer.alloc(512))).toEqual({ name: "empty", unread: null })
  expect(fileSystemOf(start(1080, "\x53\xef", 1081)).name).toBe("unknown")
  expect(fileSystemOf(start(1080, "\x53\xef", 1082)).name).toBe("ext")
  expect(fileSystemOf(start(66_908, "\x19\x01\x54\x19").subarray(0, 66_911)).name).toBe("unknown")
})

it("a boot sector is a file system's, and no other sector is", () => {
  expect(hasBootSector(start(3, "NTFS    ", 512))).toBe(true)
  expect(hasBootSector(start(0, "LUKS\xba\xbe", 512))).toBe(false)
  expect(hasBootSector(Buffer.alloc(512))).toBe(false)
})
