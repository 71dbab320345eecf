/**
 * GUIDs as VHDX stores them: the first three fields little-endian, so that bytes and text differ.
 *
 *     {2dc27766-f623-4200-9d64-115e9bfd4a08}  is  66 77 c2 2d  23 f6  00 42  9d 64  11 5e 9b fd 4a 08
 */

export const zeroGuid = "00000000-0000-0000-0000-000000000000"

/** Lower case, without braces. */
export const guidAt = (bytes: Buffer, at: number): string => {
  const field = (from: number, length: number) =>
    Buffer.from(bytes.subarray(at + from, at + from + length))
      .reverse()
      .toString("hex")
  const plain = (from: number, length: number) => bytes.toString("hex", at + from, at + from + length)
  return `${field(0, 4)}-${field(4, 2)}-${field(6, 2)}-${plain(8, 2)}-${plain(10, 6)}`
}

/** A GUID in text, with or without braces, in any case. */
export const guidIn = (text: string): string => text.replace(/^\{|\}$/g, "").toLowerCase()
