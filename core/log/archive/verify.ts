/**
 * Verifies an archive with nothing else at hand: the events against tiles, root and signature, and against a checkpoint that someone kept.
 *
 * **Details** Whose log it is only a key can say that came another way; without one, the archive's own is used, which shows that it is
 * whole and not that it is genuine. The first position that does not hold is named as for a log (verify-log.ts).
 */
import { fail, type ImagelinkError, isImagelinkError } from "../../errors.ts"
import { proveConsistency } from "../merkle/prove.ts"
import { type TreeHead, verifyConsistency } from "../merkle/verify.ts"
import { bundleLog } from "../tiles/bundle-log.ts"
import { openCheckpoint } from "../tiles/checkpoint.ts"
import { type NoteKey, parseVerifierKey, verifierKey } from "../tiles/note.ts"
import { tilePath } from "../tiles/paths.ts"
import { tileHashes } from "../tiles/tile-hashes.ts"
import { placesOf } from "../tiles/tree-files.ts"
import { verifyLog } from "../tiles/verify-log.ts"
import { archiveFolder } from "./export.ts"
import { ArchiveFiles } from "./read.ts"

export interface VerifyArchiveOptions {
  readonly file: string
  /** The log's verifier key line, from somewhere else. */
  readonly key?: string
  /** A checkpoint that someone kept, and the name of its file. */
  readonly kept?: { readonly note: string; readonly file: string }
  readonly signal?: AbortSignal
  readonly onProgress?: (done: number, total: number) => void
}

export interface VerifiedArchive extends TreeHead {
  /** The verifier key line that signed its checkpoint. */
  readonly key: string
  /** How many of its events the kept checkpoint covers. */
  readonly kept?: number
}

/** @throws FILE_UNREADABLE ARCHIVE_REFUSED ARCHIVE_DAMAGED NOTE_REFUSED USAGE CANCELLED */
export const verifyArchive = async (options: VerifyArchiveOptions): Promise<VerifiedArchive> => {
  const expected = options.key === undefined ? undefined : expectedKey(options.key)
  const files = new ArchiveFiles(options.file)
  try {
    const { key, checkpoint } = openArchive(files, expected)
    const kept = options.kept === undefined ? undefined : keptCheckpoint(options.kept, key)
    await verifyTree(files, key, checkpoint, options)
    if (kept !== undefined) compareKept(files, checkpoint, kept, options.kept!.file)
    return { ...checkpoint, key: verifierKey(key), ...(kept === undefined ? {} : { kept: kept.size }) }
  } finally {
    files.close()
  }
}

const expectedKey = (line: string): NoteKey => {
  const key = parseVerifierKey(line)
  if (key !== undefined) return key
  const why = `${JSON.stringify(line.slice(0, 200))} is not a verifier key line, as 'imagelink audit key' prints it`
  throw fail("USAGE", { why, see: "imagelink audit verify --help" })
}

const damaged = (file: string, why: string, what = "the log does not hold", underlying?: unknown): ImagelinkError =>
  fail("ARCHIVE_DAMAGED", { file, what, why }, { underlying })

/** The key and the checkpoint that it signed. */
const openArchive = (files: ArchiveFiles, expected: NoteKey | undefined) => {
  const { file, damage } = files
  const line = files.read("key")?.toString("utf8")
  const note = files.read("checkpoint")?.toString("utf8")
  if (line === undefined || note === undefined) {
    const what = `it has no ${archiveFolder}${line === undefined ? "key" : "checkpoint"}`
    throw fail("ARCHIVE_REFUSED", { file, why: damage === undefined ? what : `${what}, and ${damage}` })
  }
  const own = line.endsWith("\n") ? parseVerifierKey(line.slice(0, -1)) : undefined
  if (own === undefined) throw damaged(file, `its ${archiveFolder}key is not a verifier key line`)
  if (expected !== undefined && verifierKey(expected) !== verifierKey(own)) {
    throw damaged(file, `it is of the key ${verifierKey(own)}, and not of the key that was given`)
  }
  const checkpoint = openCheckpoint(note, own)
  if ("refused" in checkpoint) throw damaged(file, `its checkpoint is not right: ${checkpoint.refused}`)
  return { key: own, checkpoint }
}

const keptCheckpoint = ({ note, file }: { readonly note: string; readonly file: string }, key: NoteKey): TreeHead => {
  const kept = openCheckpoint(note, key)
  if ("refused" in kept) throw fail("NOTE_REFUSED", { file, why: kept.refused })
  return kept
}

const verifyTree = async (
  files: ArchiveFiles,
  key: NoteKey,
  checkpoint: TreeHead,
  { signal, onProgress }: VerifyArchiveOptions,
): Promise<void> => {
  const site = { name: key.name, publicKey: key.publicKey, storeId: "", createdAt: 0 }
  const log = bundleLog(files, site, checkpoint.size)
  try {
    await verifyLog({ log, files, checkpoint, ...(signal && { signal }), ...(onProgress && { onProgress }) })
  } catch (e) {
    if (!isImagelinkError(e) || e.code !== "AUDIT_FAILED") throw e
    const why = files.damage === undefined ? e.reason : `${e.reason}; ${files.damage}`
    throw damaged(files.file, why, e.message, e)
  }
  const why = files.damage ?? strangerIn(files, checkpoint.size)
  if (why !== undefined) throw damaged(files.file, why, "every event holds, and the archive is damaged")
}

/** What is in the archive and no part of it. */
const strangerIn = (files: ArchiveFiles, size: number): string | undefined => {
  const known = new Set(["key", "checkpoint"])
  for (const place of placesOf(size)) known.add(tilePath(place))
  const stranger = [...files.entries.keys()].find(
    (name) => !name.startsWith(archiveFolder) || !known.has(name.slice(archiveFolder.length)),
  )
  return stranger === undefined ? undefined : `it holds ${stranger}, which is no part of it`
}

/** The archive was verified: so its tiles prove what its events are. */
const compareKept = (files: ArchiveFiles, now: TreeHead, kept: TreeHead, file: string): void => {
  if (kept.size > now.size) {
    const why = `${file} is a checkpoint of ${kept.size} events, and the archive has ${now.size}: the rest was cut off`
    throw damaged(files.file, why, `the log does not hold at position ${now.size + 1}`)
  }
  const proof = proveConsistency(tileHashes(files, now.size), kept.size, now.size)
  if (verifyConsistency(kept, now, proof)) return
  throw damaged(files.file, `its first ${kept.size} events are not those of the checkpoint in ${file}`)
}
