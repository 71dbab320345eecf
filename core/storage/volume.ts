/**
 * What a storage plugin opens: named, sized bytes.
 *
 * **Details** `read` and `close` are required; everything else may be left out, and the rear guard (core/storage/guard.ts) answers for
 * it: without `write` the volume is read-only, without `extents` everything is data, without `readSync` every read is asynchronous.
 * `signal` aborts when nobody waits any more, or when the request's deadline has passed; a promise settles once its buffer is at rest.
 * A plugin may assume that requests lie inside `sizeBytes`, that lengths are positive, and that nothing is asked after `close`.
 *
 * **Errors** Reject with an `ImagelinkError` made by `fail(code, …)`, or with any Error: the guard turns a Node error's `code`
 * (ENOENT, EACCES, ENOSPC, EROFS) into ours and everything else into IO_ERROR, so a plugin needs no table of its own.
 */
import type { Extent } from "../block/device.ts"

/** What must stay the same for a version served in place; compared as strings. */
export type VolumeIdentity = Readonly<Record<string, string>>

export interface Volume {
  readonly sizeBytes: number

  /** Fills `into[at, at + length)` with the bytes from `offset` on, all of them. */
  read(into: Uint8Array, at: number, offset: number, length: number, signal?: AbortSignal): Promise<void>
  close(): Promise<void>

  /** The same at once, and only where that cannot wait for a device: `false` means "use read". */
  readSync?(into: Uint8Array, at: number, offset: number, length: number): boolean
  write?(from: Uint8Array, at: number, offset: number, length: number, signal?: AbortSignal): Promise<void>
  writeSync?(from: Uint8Array, at: number, offset: number, length: number): boolean
  /** What was written before this call survives a power loss after it. */
  flush?(): Promise<void>
  /** Makes a range read as zeros and gives its space back; answers false when it cannot, and then changed nothing. */
  punch?(offset: number, length: number): Promise<boolean>
  extents?(offset: number, length: number, max: number): Promise<ReadonlyArray<Extent>>
  /** What identifies these bytes: a file's device, inode, size, mtime and ctime; an object's ETag. */
  identity?(): Promise<VolumeIdentity>
}

/** A volume that an overlay writes its own files through: every optional part present. */
export interface WritableVolume extends Volume {
  readSync(into: Uint8Array, at: number, offset: number, length: number): boolean
  write(from: Uint8Array, at: number, offset: number, length: number, signal?: AbortSignal): Promise<void>
  writeSync(from: Uint8Array, at: number, offset: number, length: number): boolean
  flush(): Promise<void>
  punch(offset: number, length: number): Promise<boolean>
}

/** A folder of writable volumes. An overlay generation is one folder; nothing in it is named by anyone else. */
export interface VolumeFolder {
  /** For messages. */
  readonly path: string
  /** @throws IMAGE_FILE_NOT_FOUND when it is not there and `create` is not given. With `create`, a sparse file of that size must not exist yet. */
  open(name: string, options?: { readonly create?: { readonly sizeBytes: number } }): Promise<WritableVolume>
  /** The whole file, or undefined when it is not there. For small files. */
  readFile(name: string): Promise<Uint8Array | undefined>
  /** Replaces the file in one step that survives a power loss: temporary file, sync, rename, sync of the folder. */
  replaceFile(name: string, bytes: Uint8Array): Promise<void>
  /** Names in this folder, sorted; empty when the folder is not there. */
  list(): Promise<ReadonlyArray<string>>
  /** A folder inside this one; made when something is first written there. */
  folder(name: string): VolumeFolder
  /** Renames an entry of this folder and syncs the folder. */
  rename(from: string, to: string): Promise<void>
  /** Removes a file or a whole folder; nothing to remove is fine. */
  remove(name: string): Promise<void>
  /** Makes created and renamed names survive a power loss. */
  sync(): Promise<void>
}
