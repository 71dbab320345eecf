/** `imagelink backup` and `imagelink restore`. */
import { resolve } from "node:path"
import { fail } from "../../../core/errors.ts"
import type { RestoreAnswer } from "../../../core/runtime/restore/restore.ts"
import type { BackupAnswer } from "../../../core/runtime/site/backup.ts"
import type { CommonOptions } from "../options.ts"
import { bytes, count, print, printJson, time } from "../output.ts"
import { progressView } from "../progress.ts"
import { actor, callOptions, dataDir, interruptible, withSite } from "../site.ts"
import { parsePosition, parseSince } from "../time.ts"
import { printChanged } from "./changed.ts"

interface BackupOptions extends CommonOptions {
  readonly images?: boolean
  readonly secrets?: boolean
}

export const backup = async (options: BackupOptions, dir: string): Promise<void> => {
  const input = {
    dir: resolve(dir),
    ...(options.images ? { images: true } : {}),
    ...(options.secrets ? { secrets: true } : {}),
  }
  const view = await progressView(`backup to ${dir}`, options.json === true)
  await withSite(options, false, async (site) => {
    const answer = await site
      .call("backup", input, { ...callOptions(options), signal: interruptible(), onProgress: view.report })
      .finally(view.end)
    if (options.json) printJson(answer)
    else printBackup(answer, dir)
  })
}

const LINES_MAX = 12

const printBackup = (
  { events, files, images, position, secrets, leftOut, dryRun }: BackupAnswer,
  dir: string,
): void => {
  const would = dryRun ? "would copy " : ""
  print(`${dir}: position ${position}, ${would}${count(events.copied, "new event")} of ${events.total}`)
  if (dryRun)
    print(`  ${would}${count(files.copied, "image file")}, ${bytes(files.copiedBytes)}; ${files.kept} are there`)
  else
    print(
      `  ${count(files.copied, "file")} copied, ${bytes(files.copiedBytes)}; ${files.kept} were there; ${bytes(files.bytes)} in all`,
    )
  for (const { image, version, path, sizeBytes, done } of images.slice(0, LINES_MAX))
    print(`  ${image}@${version} ${dryRun && done === "copied" ? "to copy" : done}: ${path}, ${bytes(sizeBytes)}`)
  if (images.length > LINES_MAX) print(`  … and ${images.length - LINES_MAX} more`)
  if (secrets) print("  with the key that signs this log and the API tokens: keep it as you keep the key")
  for (const line of leftOut.slice(0, LINES_MAX)) print(`  left out: ${line}`)
  if (leftOut.length > LINES_MAX) print(`  … and ${leftOut.length - LINES_MAX} more`)
}

interface RestoreVerbOptions extends CommonOptions {
  readonly force?: boolean
  readonly site?: string
  readonly imagesTo?: string
  readonly until?: string
  readonly position?: string
  readonly discardKept?: boolean
}

/** Two things under one verb: a backup that is named is restored; without one, links go back to a moment of this log. */
export const restore = (options: RestoreVerbOptions, dir: string | undefined): Promise<void> => {
  const { until, position, discardKept, commandId, force, site, imagesTo } = options
  const usage = (why: string) => fail("USAGE", { why, see: "imagelink restore --help" })
  const moments = [until, position].filter((text) => text !== undefined)
  if (dir === undefined && moments.length !== 1)
    throw usage("name the backup's folder, or a moment with --until or --position")
  if (dir === undefined && (force || site !== undefined || imagesTo !== undefined))
    throw usage("--force, --site and --images-to go with a backup's folder")
  if (dir === undefined) return restoreLinks(options)
  if (moments.length > 0 || discardKept || commandId !== undefined)
    throw usage("--until, --position, --discard-kept and --command-id go without a backup's folder")
  return restoreBackup(options, dir)
}

const restoreLinks = (options: RestoreVerbOptions): Promise<void> => {
  const { until, position, discardKept } = options
  const input = {
    ...(until === undefined ? {} : { at: parseSince(until, Date.now()) }),
    ...(position === undefined ? {} : { position: parsePosition(position) }),
    ...(discardKept ? { discardKept } : {}),
  }
  return withSite(options, false, async (site) => {
    const answer = await site.call("links.restore", input, callOptions(options))
    const { asOf } = answer
    process.stderr.write(
      `as of position ${asOf.position}, ${asOf.at === null ? "before the first event" : time(asOf.at)}\n`,
    )
    printChanged(options, answer)
  })
}

const restoreBackup = async (options: RestoreVerbOptions, dir: string): Promise<void> => {
  const { restoreSite } = await import("../../compose.ts")
  const view = await progressView(`restore from ${dir}`, options.json === true)
  const answer = await restoreSite({
    backup: resolve(dir),
    data: dataDir(options),
    force: options.force === true,
    ...(options.site === undefined ? {} : { site: options.site }),
    ...(options.imagesTo === undefined ? {} : { imagesTo: resolve(options.imagesTo) }),
    dryRun: options.dryRun === true,
    actor: actor(),
    signal: interruptible(),
    onProgress: view.report,
  }).finally(view.end)
  if (options.json) printJson(answer)
  else printRestored(answer, dir)
}

const printRestored = ({ data, from, to, aside, images, notes }: RestoreAnswer, dir: string): void => {
  print(`${dir} holds: ${count(from.position, "event")} of ${from.origin}, root ${from.root}`)
  if (to === null) {
    print(`would restore it into ${data}`)
    return
  }
  print(`restored into ${data} as ${to.origin}: position ${to.position}, root ${to.root}`)
  print(`  its checkpoints are signed by ${to.key}`)
  if (aside !== null) print(`  what was there before is in ${aside}`)
  for (const { image, version, path } of images.slice(0, LINES_MAX)) print(`  ${image}@${version} is read from ${path}`)
  if (images.length > LINES_MAX) print(`  … and ${images.length - LINES_MAX} more`)
  for (const note of notes.slice(0, LINES_MAX)) print(`  note: ${note}`)
  if (notes.length > LINES_MAX) print(`  … and ${notes.length - LINES_MAX} more`)
}
