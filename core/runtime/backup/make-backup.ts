/**
 * Makes a backup, or brings the one in the folder up to now: log, checksums, images, and the key where that is asked for.
 *
 *     publish ─► tiles and bundles that are new ─► sidecars ─► heat ─► images ─► key ─► manifest replaced ─► what nothing names any more is removed
 *
 * **Details** Until the manifest is replaced the backup before is whole, and afterwards the new one is: nothing that either names is written
 * over with other bytes. So an interrupted backup costs nothing but the time, and the next one goes on with what is there. Everything
 * is taken at one position, that of the checkpoint; the server goes on meanwhile.
 *
 * What could not be copied (an image file that is gone, or changed) does not keep the rest from it; the backup is finished without, and
 * then fails with BACKUP_INCOMPLETE.
 */
import { join } from "node:path"
import * as Effect from "effect/Effect"
import type { Catalogue } from "../../domain/catalogue.ts"
import { fail } from "../../errors.ts"
import type { JobContext } from "../../jobs.ts"
import { limits } from "../../limits.ts"
import { storeError } from "../../log/database.ts"
import { openCheckpoint } from "../../log/tiles/checkpoint.ts"
import type { Published, Publisher } from "../../log/tiles/publisher.ts"
import { cellsAsOf } from "../../projections/as-of.ts"
import { catalogueProjection } from "../../projections/catalogue.ts"
import type { ImageOpener } from "../../storage/opener.ts"
import type { Parts } from "../parts.ts"
import type { BackupAnswer, BackupImage } from "../site/backup.ts"
import { writeWhole } from "./copy-file.ts"
import { holdBackupFolder, openBackupFolder, removeUnnamed } from "./folder.ts"
import { copyHeat } from "./heat-part.ts"
import {
  copyImage,
  filesByPath,
  keptFile,
  unsealedDrafts,
  type WantedFile,
  type WantedImages,
  wantedImages,
} from "./image-part.ts"
import { rememberBackup } from "./known-backups.ts"
import { copyLog, isThere } from "./log-part.ts"
import { type BackupFile, encodeManifest, type Manifest, manifestName, sha256 } from "./manifest.ts"
import { overlaysLeftOut } from "./overlays-left-out.ts"
import { copySecrets } from "./secrets-part.ts"

export interface BackupOptions {
  readonly dir: string
  readonly images: boolean
  readonly secrets: boolean
}

/** What has been gathered for the next manifest. */
class Gathered {
  readonly files: Array<BackupFile> = []
  readonly written: Set<string>
  /** How each image file came here. */
  readonly done: Map<string, BackupImage["done"]>
  /** What could not be copied, in words, by its path in the backup. */
  readonly failed = new Map<string, string>()
  readonly images: Array<BackupImage> = []

  /** What a pass before this one copied is new as well. */
  constructor(earlier?: Gathered) {
    this.written = new Set(earlier?.written)
    this.done = new Map(earlier?.done)
  }

  add(file: BackupFile, isNew: boolean): void {
    this.files.push(file)
    if (isNew) this.written.add(file.path)
  }

  image({ path, image, sizeBytes }: WantedFile, done: BackupImage["done"]): void {
    if (done !== "kept") this.done.set(path, done)
    const how = this.done.get(path) ?? done
    this.images.push({ image: image.name, version: image.version, path: image.path, sizeBytes, done: how })
  }

  counts(): BackupAnswer["files"] {
    const sum = (files: ReadonlyArray<BackupFile>) => files.reduce((total, { sizeBytes }) => total + sizeBytes, 0)
    const copied = this.files.filter(({ path }) => this.written.has(path))
    const kept = this.files.length - copied.length
    return { copied: copied.length, kept, copiedBytes: sum(copied), bytes: sum(this.files) }
  }
}

/** @throws BACKUP_REFUSED BACKUP_DAMAGED BACKUP_INCOMPLETE AUDIT_FAILED LOG_FORKED CANCELLED NO_SPACE DATA_ACCESS_DENIED */
export const makeBackup = async (parts: Parts, options: BackupOptions, job: JobContext): Promise<BackupAnswer> => {
  const publisher = await parts.publisher()
  try {
    return await make(parts, publisher, options, job)
  } catch (e) {
    throw storeError(e, options.dir, publisher.options.host)
  }
}

const make = async (parts: Parts, publisher: Publisher, options: BackupOptions, job: JobContext) => {
  const { dir, secrets } = options
  const prior = openBackupFolder(dir, publisher.options.dir)
  const letGo = holdBackupFolder(dir)
  try {
    const { published, events, gathered, leftOut } = await gatherWhole(parts, publisher, options, prior, job)
    const { size: position, root, note: checkpoint } = published
    const { files } = gathered
    const failed = [...gathered.failed.values()]
    const base64 = Buffer.from(root).toString("base64")
    const manifest: Manifest = {
      ...{ madeAt: parts.now(), site: parts.log.site, position, root: base64, checkpoint, secrets },
      ...{ files, leftOut: [...leftOut, ...failed] },
    }
    if (job.signal.aborted) throw fail("CANCELLED", { what: "the backup" })
    await writeWhole(join(dir, manifestName), encodeManifest(manifest))
    removeUnnamed(dir, manifest)
    // Where it is is a convenience: the backup is whole without.
    await rememberBackup(parts.data, { dir, madeAt: manifest.madeAt }).catch(() => {})
    if (failed.length > 0) throw fail("BACKUP_INCOMPLETE", { dir, missing: failed.length }, { details: failed })
    return {
      dir,
      position,
      root: base64,
      dryRun: false,
      events: { copied: events, total: position },
      files: gathered.counts(),
      images: gathered.images,
      secrets,
      leftOut,
    }
  } finally {
    letGo()
  }
}

interface Pass {
  readonly published: Published
  /** Events that were copied. */
  readonly events: number
  readonly gathered: Gathered
  readonly leftOut: ReadonlyArray<string>
}

/** What a flatten, a retirement or a move took away while it was copied is not missing: then everything is taken at a later position. */
const gatherWhole = async (
  parts: Parts,
  publisher: Publisher,
  options: BackupOptions,
  prior: Manifest | undefined,
  job: JobContext,
): Promise<Pass> => {
  const before = new Map(filesByPath(prior))
  let earlier: Gathered | undefined
  for (let tries = 1; ; tries++) {
    const pass = await gather(parts, publisher, options, { prior, before, gathered: new Gathered(earlier) }, job)
    const { failed, files } = pass.gathered
    earlier = pass.gathered
    if (failed.size === 0 || tries === limits.backupTriesMax) return pass
    const wanted = pathsIn(await catalogueAt(parts, parts.log.head()), parts.opener.pathOf)
    if ([...failed.keys()].every((path) => wanted.has(path))) return pass
    for (const file of files) before.set(file.path, file)
  }
}

interface Beginning {
  readonly prior: Manifest | undefined
  /** What need not be copied again. */
  readonly before: ReadonlyMap<string, BackupFile>
  /** Empty. */
  readonly gathered: Gathered
}

/** Everything at one position. */
const gather = async (
  parts: Parts,
  publisher: Publisher,
  { dir, images, secrets }: BackupOptions,
  { prior, before, gathered }: Beginning,
  job: JobContext,
): Promise<Pass> => {
  const published = await publisher.publish()
  const catalogue = await catalogueAt(parts, published.size)
  const { signal } = job
  const onProgress = (done: number, total: number) => job.progress({ done, total, unit: "items", note: "events" })
  const copied = await copyLog({ dir, log: parts.log, tiles: publisher.files, published, prior, signal, onProgress })
  for (const file of copied.files) gathered.add(file, copied.written.has(file.path))
  await addSidecars(parts, dir, catalogue, before, gathered)
  const heat = await copyHeat(dir, parts.data, catalogue, before)
  for (const { file, isNew } of heat.files) gathered.add(file, isNew)
  const without = await addImages(dir, wantedImages(catalogue, parts.opener.pathOf), before, images, gathered, job)
  if (secrets) for (const file of await copySecrets(dir, publisher.options.dir)) gathered.add(file, true)
  const leftOut = [...without, ...heat.leftOut, ...unsealedDrafts(catalogue), ...overlaysLeftOut(catalogue)]
  return { published, events: copied.events, gathered, leftOut }
}

/** What a catalogue has in a backup besides the log, by path. */
const pathsIn = (catalogue: Catalogue, pathOf: ImageOpener["pathOf"]): ReadonlySet<string> => {
  const images = wantedImages(catalogue, pathOf).files.map(({ path }) => path)
  return new Set([...images, ...sidecarsOf(catalogue).map(({ path }) => path)])
}

/** What a backup would copy now; nothing is written, and nothing published. */
export const planBackup = async (parts: Parts, options: BackupOptions): Promise<BackupAnswer> => {
  const { dir, secrets } = options
  const publisher = await parts.publisher()
  const prior = openBackupFolder(dir, publisher.options.dir)
  const position = parts.log.head()
  const catalogue = await catalogueAt(parts, position)
  const old = prior && openCheckpoint(prior.checkpoint, parts.log.site)
  if (old !== undefined && "refused" in old)
    throw fail("BACKUP_REFUSED", { dir, why: `it holds a backup of another site: ${old.refused}` })
  const wanted = wantedImages(catalogue, parts.opener.pathOf)
  const gathered = new Gathered()
  const before = filesByPath(prior)
  for (const file of wanted.files) {
    const kept = keptFile(dir, file, before) !== undefined
    if (options.images || kept) gathered.image(file, kept ? "kept" : "copied")
  }
  const copied = gathered.images.filter(({ done }) => done === "copied")
  const bytes = gathered.images.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  const copiedBytes = copied.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  const files = { copied: copied.length, kept: gathered.images.length - copied.length, copiedBytes, bytes }
  const events = { copied: position - (old?.size ?? 0), total: position }
  const leftOut = [
    ...(options.images ? wanted.leftOut : noImages(wanted.files, gathered.images)),
    ...unsealedDrafts(catalogue),
    ...overlaysLeftOut(catalogue),
  ]
  return { dir, position, root: null, dryRun: true, events, files, images: gathered.images, secrets, leftOut }
}

const catalogueAt = async ({ log, views }: Parts, position: number): Promise<Catalogue> => {
  const [cell] = await Effect.runPromise(cellsAsOf(log, [catalogueProjection], position, views.marks))
  return cell!.state as Catalogue
}

/** The checksum files that the log names. */
const sidecarsOf = ({ images }: Catalogue) =>
  [...images.values()].flatMap((image) =>
    image.versions.flatMap(({ number, check, retired }) =>
      check && !retired
        ? [{ ...check.checksums, path: `sidecars/${check.checksums.sidecar}`, of: `${image.name}@${number}` }]
        : [],
    ),
  )

const addSidecars = async (
  { sidecars }: Parts,
  dir: string,
  catalogue: Catalogue,
  before: ReadonlyMap<string, BackupFile>,
  gathered: Gathered,
): Promise<void> => {
  for (const { sidecar, path, sha256: expected, of } of sidecarsOf(catalogue)) {
    const known = before.get(path)
    if (known?.sha256 === expected && isThere(dir, known)) {
      gathered.add(known, false)
      continue
    }
    const bytes = await sidecars.readFile(sidecar)
    if (bytes === undefined || sha256(bytes) !== expected) {
      gathered.failed.set(path, `the checksums of image ${of}: ${sidecars.path}/${sidecar} is missing or damaged`)
      continue
    }
    await writeWhole(join(dir, path), bytes)
    gathered.add({ path, sizeBytes: bytes.length, sha256: expected }, true)
  }
}

/** Copies what is asked for and keeps what the backup before has; answers what is left out. */
const addImages = async (
  dir: string,
  wanted: WantedImages,
  before: ReadonlyMap<string, BackupFile>,
  asked: boolean,
  gathered: Gathered,
  { signal, progress }: JobContext,
): Promise<ReadonlyArray<string>> => {
  const todo = wanted.files.filter((file) => keptFile(dir, file, before) === undefined)
  const total = todo.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  let done = 0
  const onBytes = (count: number) => {
    done += count
    progress({ done, total: Math.max(done, total), unit: "bytes", note: "images" })
  }
  for (const file of wanted.files) {
    if (!asked && keptFile(dir, file, before) === undefined) continue
    const outcome = await copyImage(dir, file, before, { signal, onBytes })
    if ("failed" in outcome) {
      gathered.failed.set(file.path, outcome.failed)
      continue
    }
    gathered.add(outcome.file, outcome.done !== "kept")
    gathered.image(file, outcome.done)
  }
  return asked ? wanted.leftOut : noImages(wanted.files, gathered.images)
}

const noImages = (files: ReadonlyArray<WantedFile>, images: ReadonlyArray<BackupImage>): ReadonlyArray<string> => {
  const missing = files.length - images.length
  return missing === 0 ? [] : [`${missing} image ${missing === 1 ? "file" : "files"}: --images copies them`]
}
