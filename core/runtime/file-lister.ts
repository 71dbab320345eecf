/**
 * What lists the files of a disk: a port, so that the core runs no tool itself.
 *
 * **Details** Tools read files, and a version is none. So its bytes are put into a scratch file, which has no name and goes with the process
 * that made it, whatever ends that.
 */

export interface ListedFile {
  readonly path: string
  readonly directory: boolean
  readonly sizeBytes: number
  /** Seconds; 0 where the file system keeps none. */
  readonly modifiedAt: number
  /** When anything about it last changed, where the file system keeps that. */
  readonly changedAt: number
  /** As the file system numbers it. */
  readonly inode: string
  /** Permissions and owner. */
  readonly rights: string
}

export interface ScratchDisk {
  /** All zeros at first. @throws NO_SPACE IO_ERROR */
  write(bytes: Uint8Array, at: number, offset: number, length: number): Promise<void>
  writeSync(bytes: Uint8Array, at: number, offset: number, length: number): boolean
  zero(offset: number, length: number): Promise<void>
  /** The files of the file system at `offset`; the error's words where the tool cannot read it. @throws CANCELLED FILE_LISTING_FAILED */
  list(offset: number, onFile: (file: ListedFile) => void, signal: AbortSignal): Promise<void>
  close(): Promise<void>
}

export interface FileLister {
  /** @throws FILE_TOOL_MISSING */
  scratch(sizeBytes: number): Promise<ScratchDisk>
}
