/** Reads a line of Sleuth Kit's body format: `md5|name|inode|mode|uid|gid|size|atime|mtime|ctime|crtime`. Pure. */
import type { ListedFile } from "../../core/runtime/file-lister.ts"

/** After the name, which alone may have the separator in it. */
const FIELDS_AFTER = 9

/** Undefined for what is no file of the guest: the tool's own entries, further attributes of NTFS, and what is no entry at all. */
export const readBodyLine = (line: string): ListedFile | undefined => {
  const fields = line.split("|")
  if (fields.length < FIELDS_AFTER + 2) return undefined
  const [inode, mode, uid, gid, size, , mtime, ctime] = fields.slice(-FIELDS_AFTER) as Array<string>
  const name = fields.slice(1, -FIELDS_AFTER).join("|")
  // "V/V" and "v/v": $OrphanFiles, $FAT1 and others that Sleuth Kit adds.
  if (/^v/i.test(mode!) || name.endsWith(" ($FILE_NAME)")) return undefined
  const link = mode!.startsWith("l") ? name.indexOf(" -> ") : -1
  const type = mode!.slice(mode!.indexOf("/") + 1)
  return {
    path: link < 0 ? name : name.slice(0, link),
    directory: type.startsWith("d"),
    sizeBytes: Number(size),
    modifiedAt: Number(mtime),
    changedAt: Number(ctime),
    inode: inode!,
    rights: `${type} ${uid}:${gid}`,
  }
}
