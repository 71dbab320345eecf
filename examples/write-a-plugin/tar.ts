/**
 * A storage plugin on two screens: serves a disk image out of a tar archive, without unpacking it.
 *
 *     { "kind": "tar", "config": { "path": "/srv/lab.tar", "member": "images/win11.raw" } }
 *
 * A tar archive is 512-byte blocks: a header, the member's bytes, padding, the next header (POSIX.1-2017, pax, "ustar Interchange Format").
 *
 *     0         100    124       136         156    257     345        500
 *     │ name …  │ …    │ size    │ …         │ type │ ustar │ prefix …  │
 *
 * Once the header is found, reading the image is reading the archive at an offset.
 */
import { type FileHandle, open } from "node:fs/promises"
import { check, definePlugin, fail, object, string, type Volume } from "imagelink/plugin"

const BLOCK = 512
const MEMBERS_MAX = 100_000
const PAX_BYTES_MAX = 65_536

export default definePlugin({
  apiVersion: 1,
  kind: "tar",
  manifest: { persistent: true, writable: false, sparse: false, shared: true, local: true },
  config: object({
    path: check(string({ min: 1 }), (path) => (path.startsWith("/") ? undefined : "must be an absolute path")),
    member: string({ min: 1 }),
  }),

  async open({ path, member }, { signal }): Promise<Volume> {
    // A missing or forbidden archive needs no words of ours: the guard knows Node's error codes.
    const file = await open(path, "r")
    try {
      const found = await find(file, member, signal)
      if (found === undefined) throw fail("IMAGE_FILE_NOT_FOUND", { path: `${path}:${member}` })
      return volume(file, path, found.offset, found.sizeBytes)
    } catch (error) {
      await file.close()
      throw error
    }
  },
})

const volume = (file: FileHandle, path: string, start: number, sizeBytes: number): Volume => ({
  sizeBytes,
  async read(into, at, offset, length) {
    for (let done = 0; done < length; ) {
      const { bytesRead } = await file.read(into, at + done, length - done, start + offset + done)
      if (bytesRead === 0)
        throw fail("IO_ERROR", {
          offset: offset + done,
          length: length - done,
          what: path,
          why: "the archive ends early",
        })
      done += bytesRead
    }
  },
  async identity() {
    const { ino, size, mtimeMs } = await file.stat()
    return { inode: String(ino), archiveBytes: String(size), mtime: String(mtimeMs), start: String(start) }
  },
  close: () => file.close(),
})

/** Walks from header to header. Two blocks of zeros end an archive; so does the end of the file. */
const find = async (file: FileHandle, member: string, signal: AbortSignal) => {
  const header = Buffer.alloc(BLOCK)
  let pax: Readonly<Record<string, string>> = {}
  let at = 0
  for (let i = 0; i < MEMBERS_MAX; i++) {
    signal.throwIfAborted()
    if ((await file.read(header, 0, BLOCK, at)).bytesRead < BLOCK || header[0] === 0) return undefined
    const sizeBytes = Number(pax.size ?? size(header))
    if (!Number.isSafeInteger(sizeBytes)) return undefined
    const offset = at + BLOCK
    const type = String.fromCharCode(header[156]!)
    if (type === "x") pax = await readPax(file, offset, sizeBytes)
    else {
      if ((type === "0" || type === "\0") && (pax.path ?? name(header)) === member) return { offset, sizeBytes }
      pax = {}
    }
    at = offset + Math.ceil(sizeBytes / BLOCK) * BLOCK
  }
  return undefined
}

const text = (header: Buffer, from: number, to: number) => header.toString("utf8", from, to).split("\0")[0]!

const name = (header: Buffer) => {
  const prefix = text(header, 257, 262) === "ustar" ? text(header, 345, 500) : ""
  return prefix === "" ? text(header, 0, 100) : `${prefix}/${text(header, 0, 100)}`
}

/** Octal digits, or, above 8 GiB, GNU's big-endian number behind a byte with its top bit set. */
const size = (header: Buffer) =>
  (header[124]! & 0x80) !== 0 ? Number(header.readBigUInt64BE(128)) : Number.parseInt(text(header, 124, 136).trim(), 8)

/** Extended headers are lines of `LENGTH KEY=VALUE`; a long name or a large size comes this way. */
const readPax = async (file: FileHandle, offset: number, sizeBytes: number) => {
  const bytes = Buffer.alloc(Math.min(sizeBytes, PAX_BYTES_MAX))
  await file.read(bytes, 0, bytes.length, offset)
  const lines = bytes.toString("utf8").matchAll(/^\d+ ([^=\n]+)=(.*)$/gm)
  return Object.fromEntries([...lines].map(([, key, value]) => [key, value!]))
}
