/** Tells a file system by its signature, and whether a tool that lists files reads it. Pure. */

/** How much of a partition's beginning tells it; whole blocks. */
export const SIGNATURE_BYTES = 132 * 512

export interface FileSystem {
  readonly name: string
  /** Its files can be listed; else why not. */
  readonly unread: string | null
}

interface Signature {
  readonly name: string
  readonly at: number
  readonly bytes: string
  readonly unread?: string
}

const NO_TOOL = "no tool that lists its files is known here"

/** In a boot sector, which ends as a partition table does. */
const bootSectors: ReadonlyArray<Signature> = [
  { name: "ntfs", at: 3, bytes: "NTFS    " },
  { name: "exfat", at: 3, bytes: "EXFAT   " },
  { name: "fat12", at: 54, bytes: "FAT12   " },
  { name: "fat16", at: 54, bytes: "FAT16   " },
  { name: "fat32", at: 82, bytes: "FAT32   " },
  { name: "bitlocker", at: 3, bytes: "-FVE-FS-", unread: "it is encrypted" },
  { name: "refs", at: 3, bytes: "ReFS\0\0\0\0", unread: NO_TOOL },
]

const signatures: ReadonlyArray<Signature> = [
  ...bootSectors,
  { name: "luks", at: 0, bytes: "LUKS\xba\xbe", unread: "it is encrypted" },
  { name: "xfs", at: 0, bytes: "XFSB", unread: NO_TOOL },
  { name: "apfs", at: 32, bytes: "NXSB", unread: NO_TOOL },
  { name: "lvm", at: 512, bytes: "LABELONE", unread: "it holds volumes, and is no file system" },
  { name: "lvm", at: 0, bytes: "LABELONE", unread: "it holds volumes, and is no file system" },
  { name: "ext", at: 1080, bytes: "\x53\xef" },
  { name: "hfs+", at: 1024, bytes: "H+\0\x04" },
  { name: "hfs+", at: 1024, bytes: "HX\0\x05" },
  { name: "f2fs", at: 1024, bytes: "\x10\x20\xf5\xf2", unread: NO_TOOL },
  { name: "swap", at: 4086, bytes: "SWAPSPACE2", unread: "it has no files" },
  { name: "ufs", at: 9564, bytes: "\x54\x19\x01\0" },
  { name: "ufs", at: 66_908, bytes: "\x19\x01\x54\x19" },
  { name: "iso9660", at: 32_769, bytes: "CD001" },
  { name: "btrfs", at: 65_600, bytes: "_BHRfS_M", unread: NO_TOOL },
]

const has = (start: Buffer, { at, bytes }: Signature): boolean =>
  start.toString("latin1", at, at + bytes.length) === bytes

/** Whether the sector is a file system's own, and no partition table. */
export const hasBootSector = (sector: Buffer): boolean => bootSectors.some((signature) => has(sector, signature))

/** `start`: the first SIGNATURE_BYTES, or all where there is less. Nothing but zeros is "empty", which has no files. */
export const fileSystemOf = (start: Buffer): FileSystem => {
  const known = signatures.find((signature) => has(start, signature))
  if (known !== undefined) return { name: known.name, unread: known.unread ?? null }
  if (start.every((byte) => byte === 0)) return { name: "empty", unread: null }
  return { name: "unknown", unread: "its signature is none that is known here" }
}
