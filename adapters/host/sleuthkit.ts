/**
 * Lists the files of a disk with Sleuth Kit's `fls`, which reads ext2/3/4, NTFS, FAT, exFAT, ISO 9660, HFS+ and UFS without mounting them.
 *
 * **Details** The scratch file is removed as soon as it is open, and the tool gets it as an open file: nothing is left behind, even by a
 * process that is killed. What a guest wrote is read by a large C program; where the server is root, that runs as nobody and may only read.
 *
 * **Gotchas** It reads what is on the disk, and replays no journal: of a guest that was not shut down, the last changes may not be told.
 */
import { constants } from "node:fs"
import { type FileHandle, mkdir, open, rm } from "node:fs/promises"
import { join } from "node:path"
import { fail, isImagelinkError } from "../../core/errors.ts"
import type { Host } from "../../core/host.ts"
import { limits } from "../../core/limits.ts"
import type { FileLister, ListedFile, ScratchDisk } from "../../core/runtime/file-lister.ts"
import { readBodyLine } from "./body-file.ts"
import { findTool, runTool, type ToolEnd } from "./run-tool.ts"

const NOBODY = 65_534
const ZEROS = Buffer.alloc(1024 * 1024)

export interface SleuthkitOptions {
  /** The scratch file lies in it; it is made when it is needed. */
  readonly folder: string
  readonly host: Host
  readonly newId: () => string
  /** Where `fls` is, or undefined; specs inject it. */
  readonly find?: () => string | undefined
}

export const sleuthkit = ({ folder, host, newId, find = () => findTool("fls") }: SleuthkitOptions): FileLister => ({
  async scratch(sizeBytes) {
    const tool = find()
    if (tool === undefined) throw fail("FILE_TOOL_MISSING", { tool: "fls", debianPackage: "sleuthkit" })
    await mkdir(folder, { recursive: true, mode: 0o700 })
    const path = join(folder, `scratch-${newId()}`)
    const file = await open(path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL, 0o600)
    try {
      await rm(path)
      // It has no name any more: only who has it open can find it.
      await file.chmod(0o444)
      await file.truncate(sizeBytes)
    } catch (e) {
      await file.close()
      throw e
    }
    return new ScratchFile(file, tool, host)
  },
})

class ScratchFile implements ScratchDisk {
  readonly #file: FileHandle
  readonly #tool: string
  readonly #host: Host

  constructor(file: FileHandle, tool: string, host: Host) {
    this.#file = file
    this.#tool = tool
    this.#host = host
  }

  writeSync(): boolean {
    return false
  }

  async write(bytes: Uint8Array, at: number, offset: number, length: number): Promise<void> {
    for (let done = 0; done < length; ) {
      try {
        done += (await this.#file.write(bytes, at + done, length - done, offset + done)).bytesWritten
      } catch (e) {
        const what = "the copy that files are listed from"
        if ((e as NodeJS.ErrnoException).code === "ENOSPC") throw fail("NO_SPACE", { what }, { underlying: e })
        throw fail("IO_ERROR", { what }, { underlying: e })
      }
    }
  }

  async zero(offset: number, length: number): Promise<void> {
    if (await this.#host.punchHole?.(this.#file.fd, offset, length)) return
    for (let done = 0; done < length; done += ZEROS.length)
      await this.write(ZEROS, 0, offset + done, Math.min(ZEROS.length, length - done))
  }

  async list(offset: number, onFile: (file: ListedFile) => void, signal: AbortSignal): Promise<void> {
    const { status, said, bound } = await this.#fls(offset, onFile, signal).catch((e: unknown) => {
      if (isImagelinkError(e)) throw e
      throw fail("FILE_LISTING_FAILED", { why: `fls could not be run: ${(e as Error).message}` }, { underlying: e })
    })
    if (bound !== undefined) throw fail("FILE_LISTING_FAILED", { why: `fls was stopped: ${bound}` })
    if (status !== 0) throw fail("FILE_LISTING_FAILED", { why: `fls says: ${said || `exit status ${status}`}` })
  }

  #fls(offset: number, onFile: (file: ListedFile) => void, signal: AbortSignal): Promise<ToolEnd> {
    const sector = String(offset / limits.logicalBlockBytes)
    return runTool({
      path: this.#tool,
      // Undeleted entries, all folders, full paths, as a body file.
      args: ["-u", "-r", "-p", "-m", "", "-i", "raw", "-b", "512", "-o", sector, "/proc/self/fd/3"],
      fd: this.#file.fd,
      ...(process.getuid?.() === 0 ? { uid: NOBODY } : {}),
      millisMax: limits.diffToolMillisMax,
      outputBytesMax: limits.diffListingBytesMax,
      signal,
      onLine: (line) => {
        const file = readBodyLine(line)
        if (file !== undefined) onFile(file)
      },
    })
  }

  close(): Promise<void> {
    return this.#file.close()
  }
}
