/**
 * Verifies a backup with nothing else at hand: every file against its SHA-256, and the log against the checkpoint in the manifest.
 */
import { join } from "node:path"
import { fail, isImagelinkError } from "../../errors.ts"
import type { Progress } from "../../jobs.ts"
import type { TreeHead } from "../../log/merkle/verify.ts"
import { bundleLog } from "../../log/tiles/bundle-log.ts"
import { openCheckpoint } from "../../log/tiles/checkpoint.ts"
import type { EventSource } from "../../log/tiles/events.ts"
import { TlogFiles } from "../../log/tiles/files.ts"
import { verifyLog } from "../../log/tiles/verify-log.ts"
import { hashFile } from "./copy-file.ts"
import { type BackupFile, type Manifest, readManifest } from "./manifest.ts"

export interface VerifiedBackup {
  readonly manifest: Manifest
  readonly checkpoint: TreeHead
  /** The events in it. */
  readonly log: EventSource
}

export interface VerifyBackupOptions {
  readonly signal?: AbortSignal
  readonly onProgress?: (p: Progress) => void
}

/** Tiles of a tree of `size`; what an interrupted backup wrote beyond it is not looked at. */
class BackupTiles extends TlogFiles {
  readonly size: number

  constructor(dir: string, size: number) {
    super(dir)
    this.size = size
  }

  override extent(): number {
    return this.size
  }
}

/** @throws BACKUP_DAMAGED, with every bad file among its details; STORE_NEWER CANCELLED */
export const verifyBackup = async (dir: string, options: VerifyBackupOptions = {}): Promise<VerifiedBackup> => {
  const manifest = readManifest(dir)
  if (manifest === undefined) throw fail("BACKUP_DAMAGED", { dir, why: "there is no manifest.json in it" })
  const { site, position } = manifest
  const checkpoint = openCheckpoint(manifest.checkpoint, site)
  if ("refused" in checkpoint)
    throw fail("BACKUP_DAMAGED", { dir, why: `its checkpoint is not right: ${checkpoint.refused}` })
  if (checkpoint.size !== position) throw fail("BACKUP_DAMAGED", { dir, why: "its checkpoint is of another position" })
  await verifyFiles(dir, manifest, options)
  const files = new BackupTiles(dir, position)
  const log = bundleLog(files, site, position)
  const { signal, onProgress } = options
  const report = (done: number, total: number) => onProgress?.({ done, total, unit: "items", note: "events" })
  try {
    await verifyLog({ log, files, checkpoint, onProgress: report, ...(signal && { signal }) })
  } catch (e) {
    if (!isImagelinkError(e) || e.code !== "AUDIT_FAILED") throw e
    throw fail("BACKUP_DAMAGED", { dir, why: `${e.message}: ${e.reason}` }, { underlying: e })
  }
  return { manifest, checkpoint, log }
}

const verifyFiles = async (dir: string, { files }: Manifest, { signal, onProgress }: VerifyBackupOptions) => {
  const total = files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  let done = 0
  const onBytes = (count: number) => {
    done += count
    onProgress?.({ done, total, unit: "bytes", note: "files" })
  }
  const bad: Array<string> = []
  for (const file of files) {
    const why = await wrong(join(dir, file.path), file, { onBytes, ...(signal && { signal }) })
    if (why !== undefined) bad.push(`${file.path}: ${why}`)
  }
  if (bad.length === 0) return
  const more = bad.length === 1 ? "" : `, and ${bad.length - 1} more`
  throw fail("BACKUP_DAMAGED", { dir, why: `${bad[0]}${more}` }, { details: bad })
}

const wrong = async (
  path: string,
  { sizeBytes, sha256 }: BackupFile,
  options: Parameters<typeof hashFile>[1],
): Promise<string | undefined> => {
  try {
    const found = await hashFile(path, options)
    if (found.sizeBytes !== sizeBytes) return `it has ${found.sizeBytes} bytes, and had ${sizeBytes}`
    return found.sha256 === sha256 ? undefined : "it does not have its SHA-256"
  } catch (e) {
    if (isImagelinkError(e)) throw e
    return (e as NodeJS.ErrnoException).code === "ENOENT" ? "it is missing" : (e as Error).message
  }
}
