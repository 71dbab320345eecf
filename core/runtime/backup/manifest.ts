/**
 * The manifest of a backup: what is in it, and the one file whose replacement makes a backup the next one.
 *
 *     DIR/manifest.json      replaced in one step when everything it names is on disk
 *     DIR/tlog/              the log: tiles, entry bundles, checkpoint, key
 *     DIR/sidecars/          checksum files
 *     DIR/heat/<image id>-<hash>.heat      what was learnt of an image's clients
 *     DIR/images/<image id>/v<N>-<hash>/…
 *     DIR/layers/<image id>/v<N>.{qcow2,data} and DIR/drafts/<image id>.raw, as in the data folder
 *     DIR/secrets/           the key and the API tokens, only where that was asked for
 *
 * **Details** What it does not name is no part of the backup: the rest of one that was interrupted, or of the one before. It carries the
 * checkpoint, which says what the log in it is, and a SHA-256 of itself, which finds an accident; against intent there is the signature.
 */
import { createHash } from "node:crypto"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { fail } from "../../errors.ts"
import { canonicalBytes } from "../../log/canonical.ts"
import { parse } from "../../log/envelope.ts"
import type { SiteIdentity } from "../../log/event-log.ts"

export const manifestName = "manifest.json"
const manifestFormat = 1

/** Whose bytes an image file in a backup is. */
export interface ImageFileOf {
  readonly id: string
  readonly name: string
  readonly version: number
  /** Where it was read from, and its place beside the version's first file. */
  readonly path: string
  readonly relative: string
}

export interface BackupFile {
  /** In the backup, with `/`. */
  readonly path: string
  readonly sizeBytes: number
  /** Hex. */
  readonly sha256: string
  readonly image?: ImageFileOf
  /** Of a file that goes back to this very path in the data folder: its modification time, by which the log knows it. */
  readonly mtimeMs?: string
}

/** Where the data folder keeps sealed files: layers of committed versions, and disks that were written to and sealed. */
export const dataFolders = ["layers", "drafts"]

export const isDataPath = (path: string): boolean => dataFolders.includes(path.split("/", 1)[0]!) && isInside(path)

export interface Manifest {
  /** UTC milliseconds. */
  readonly madeAt: number
  readonly site: SiteIdentity
  /** How many events, their root (base64) and the note that signs both. */
  readonly position: number
  readonly root: string
  readonly checkpoint: string
  readonly secrets: boolean
  readonly files: ReadonlyArray<BackupFile>
  /** What a reader might look for and not find, in words. */
  readonly leftOut: ReadonlyArray<string>
}

export const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex")

export const encodeManifest = ({ site, ...rest }: Manifest): Uint8Array => {
  const { name, storeId, publicKey, createdAt } = site
  const body = {
    format: manifestFormat,
    ...rest,
    site: { name, storeId, publicKey: Buffer.from(publicKey).toString("base64"), createdAt },
  }
  return Buffer.from(`${JSON.stringify({ ...body, sha256: sha256(canonicalBytes(body)) }, null, 1)}\n`)
}

/** The manifest of the backup in `dir`; undefined where there is none. @throws BACKUP_DAMAGED STORE_NEWER */
export const readManifest = (dir: string): Manifest | undefined => {
  const path = join(dir, manifestName)
  let bytes: Buffer
  try {
    bytes = readFileSync(path)
  } catch (e) {
    const { code } = e as NodeJS.ErrnoException
    if (code === "ENOENT" || code === "ENOTDIR") return undefined
    throw e
  }
  return decodeManifest(dir, path, bytes)
}

const decodeManifest = (dir: string, path: string, bytes: Uint8Array): Manifest => {
  const { sha256: stored, ...body } = (parse(bytes) ?? {}) as Record<string, unknown>
  if (stored === undefined || stored !== sha256(canonicalBytes(body)))
    throw fail("BACKUP_DAMAGED", { dir, why: `${path} does not have the SHA-256 that it names` })
  if (body.format !== manifestFormat) {
    throw fail("STORE_NEWER", {
      path,
      why: `its format is ${body.format}; this version reads format ${manifestFormat}`,
    })
  }
  const { format, site, ...rest } = body as unknown as Manifest & { readonly format: number }
  const publicKey = new Uint8Array(Buffer.from(site.publicKey as unknown as string, "base64"))
  for (const file of rest.files) {
    if (!isInside(file.path) || isDataPath(file.path) !== (file.mtimeMs !== undefined))
      throw fail("BACKUP_DAMAGED", { dir, why: `${path} names ${JSON.stringify(file.path)}` })
  }
  return { ...rest, site: { ...site, publicKey } }
}

/** Whether a relative path stays in its folder. */
export const isInside = (path: string): boolean =>
  path !== "" &&
  !path.includes("\0") &&
  !path.includes("\\") &&
  path.split("/").every((p) => !["", ".", ".."].includes(p))
