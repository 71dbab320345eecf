/**
 * Names the file types that are mistaken for raw disks, by their magic bytes.
 *
 * **Details** Each mark is one a boot sector, a partition table or a file system cannot have in that place, so that no real disk is refused.
 * A disk of zeros is a fresh disk. Text is the last guess: a first sector of printable ASCII alone is a script, a log, a VMDK descriptor.
 *
 * Not done: looking inside archives. What is in them has to be unpacked first either way.
 */
import type { ProbeInput } from "imagelink/plugin"

interface Mark {
  readonly what: string
  readonly offset: number
  readonly bytes: Uint8Array
}

const latin1 = (text: string) => Uint8Array.from(text, (char) => char.charCodeAt(0))
const mark = (what: string, magic: string, offset = 0): Mark => ({ what, offset, bytes: latin1(magic) })

const headMarks: ReadonlyArray<Mark> = [
  mark("qcow2", "QFI\xfb"),
  mark("qed", "QED\0"),
  mark("vhd", "conectix"),
  mark("vhdx", "vhdxfile"),
  mark("vmdk", "KDMV"),
  mark("vmdk", "COWD"),
  mark("vmdk", "# Disk DescriptorFile"),
  mark("vdi", "\x7f\x10\xda\xbe", 64),
  mark("parallels", "WithoutFreeSpace"),
  mark("parallels", "WithouFreSpacExt"),
  mark("gzip", "\x1f\x8b\x08"),
  mark("xz", "\xfd7zXZ\0"),
  mark("zstd", "\x28\xb5\x2f\xfd"),
  mark("lz4", "\x04\x22\x4d\x18"),
  ...Array.from("123456789", (level) => mark("bzip2", `BZh${level}1AY&SY`)),
  mark("zip", "PK\x03\x04"),
  mark("7z", "7z\xbc\xaf\x27\x1c"),
  mark("rar", "Rar!\x1a\x07"),
  mark("tar", "ustar", 257),
  mark("wim", "MSWIM\0\0\0"),
  mark("pdf", "%PDF-"),
  mark("png", "\x89PNG\r\n\x1a\n"),
  mark("elf", "\x7fELF"),
]

/** A fixed VHD is raw bytes and a footer; a DMG ends in a `koly` block. Both are in the last 512 bytes. */
const tailMarks: ReadonlyArray<Mark> = [mark("vhd", "conectix"), mark("dmg", "koly")]

const TEXT_BYTES = 512

/** What a volume certainly is instead of a raw disk. */
export const foreignName = ({ head, tail }: Pick<ProbeInput, "head" | "tail">): string | undefined => {
  const found = headMarks.find((m) => has(head, m)) ?? tailMarks.find((m) => has(tail, m))
  return found?.what ?? (isText(head) ? "text" : undefined)
}

const has = (bytes: Uint8Array, { offset, bytes: magic }: Mark): boolean =>
  bytes.length >= offset + magic.length && magic.every((byte, i) => bytes[offset + i] === byte)

const isText = (head: Uint8Array): boolean => {
  const first = head.subarray(0, TEXT_BYTES)
  return first.length > 0 && first.every((b) => (b >= 0x20 && b < 0x7f) || b === 0x09 || b === 0x0a || b === 0x0d)
}
