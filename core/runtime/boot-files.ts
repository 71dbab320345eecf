/**
 * What TFTP and HTTP serve: a port that opens files by name, and a folder behind it.
 *
 * **Details** A name is a path below the folder. A slash or backslash at the start is the folder itself: firmware writes `/snponly.efi`, Windows' loaders `\Boot\BCD`.
 * Where there is no such file, one in other case is served, or without the `.0` that some ROMs add. Everything that leads elsewhere is
 * refused: `..`, a drive, another machine's share, NUL. A symbolic link is followed as long as what it leads to lies in the folder. Only regular files are served.
 *
 * What is read is kept for a while (boot-file-cache.ts), and belongs to the file as it was when it was opened. Clients that ask for a file which somebody is being sent share
 * its opening: a room of PCs then costs a look at the name each.
 *
 * **Gotchas** Links are judged when the file is opened: who may write to the folder may serve what the server can read.
 */
import { realpath } from "node:fs/promises"
import { join, sep } from "node:path"
import { limits } from "../limits.ts"
import { PieceCache } from "./boot-file-cache.ts"
import { type HeldFile, type Look, lookLater, type OpenedFile, openRegular } from "./held-file.ts"
import { tolerantPath } from "./tolerant-name.ts"

export interface BootPeer {
  readonly address: string
  readonly port: number
}

export interface BootFiles {
  /** Undefined: there is no such file. @throws FileRefused, or what opening throws */
  open(name: string, peer: BootPeer): Promise<OpenedFile | undefined>
}

/** The file is not for the client, or not for this server. */
export class FileRefused extends Error {
  override readonly name = "FileRefused"
}

/** A name as a path below the folder, or undefined where it leads elsewhere. */
export const pathOf = (name: string): string | undefined => {
  if (name.includes("\0") || /^\\\\|^[a-z]:/iu.test(name)) return undefined
  const parts = name.split(/[\\/]/u).filter((part) => part !== "" && part !== ".")
  return parts.length === 0 || parts.includes("..") ? undefined : parts.join("/")
}

/** Serves the regular files below a folder. */
export const folderFiles = (
  folder: string,
  cache = new PieceCache({ pieceBytes: limits.bootPieceBytes, bytesMax: limits.bootPiecesBytesMax }),
  look: Look = lookLater,
): BootFiles => {
  const held = new Map<string, HeldFile>()
  const fresh = async (path: string): Promise<HeldFile | undefined> => {
    const root = await realpath(folder)
    const exact = await openIn(root, path, cache).catch(judge)
    if (exact !== undefined) return exact
    const meant = await tolerantPath(root, path)
    return meant === undefined || meant === path ? undefined : await openIn(root, meant, cache)
  }
  return {
    async open(name) {
      const path = pathOf(name)
      if (path === undefined) throw new FileRefused("the name leads out of the served folder")
      const same = held.get(path)
      if (same?.is(await look(join(folder, path)))) return same.share()
      try {
        const file = await fresh(path)
        if (file === undefined) return undefined
        held.set(path, file)
        return file.share(() => {
          if (held.get(path) === file) held.delete(path)
        })
      } catch (e) {
        return judge(e)
      }
    },
  }
}

const openIn = async (root: string, path: string, cache: PieceCache): Promise<HeldFile | undefined> => {
  const file = await realpath(join(root, path))
  const inside = root.endsWith(sep) ? root : root + sep
  if (!file.startsWith(inside)) throw new FileRefused("the name leads out of the served folder")
  return openRegular(file, cache)
}

const judge = (e: unknown): undefined => {
  if (e instanceof FileRefused) throw e
  const { code } = e as NodeJS.ErrnoException
  if (code === "ENOENT" || code === "ENOTDIR" || code === "ENAMETOOLONG") return undefined
  if (code === "EACCES" || code === "EPERM") throw new FileRefused("the server may not read the file", { cause: e })
  if (code === "ELOOP") throw new FileRefused("the name is a symbolic link in a circle", { cause: e })
  throw e
}

/** A text as a file. */
export const textFile = (text: string): OpenedFile => {
  const bytes = Buffer.from(text)
  return {
    sizeBytes: bytes.length,
    read: async (offset, length) => bytes.subarray(offset, offset + length),
    close: async () => {},
  }
}

/** The name of the script that iPXE asks for in the folder its own file came from, and then at the top. */
export const AUTOEXEC = "autoexec.ipxe"

export const isAutoexec = (name: string): boolean => name.split(/[\\/]/u).at(-1)?.toLowerCase() === AUTOEXEC

/** The same files, and this script in every folder. A file of that name in the folder goes before it. */
export const withAutoexec = (files: BootFiles, script: string): BootFiles => ({
  async open(name, peer) {
    const file = await files.open(name, peer)
    return file ?? (isAutoexec(name) ? textFile(script) : undefined)
  },
})
