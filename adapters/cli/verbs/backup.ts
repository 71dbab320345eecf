/** `imagelink backup`. */
import { resolve } from "node:path"
import type { BackupAnswer } from "../../../core/runtime/site.ts"
import type { CommonOptions } from "../options.ts"
import { bytes, count, print, printJson } from "../output.ts"
import { progressView } from "../progress.ts"
import { callOptions, interruptible, withSite } from "../site.ts"

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
  if (secrets) print("  with the key that signs this log: keep it as you keep the key")
  for (const line of leftOut.slice(0, LINES_MAX)) print(`  left out: ${line}`)
  if (leftOut.length > LINES_MAX) print(`  … and ${leftOut.length - LINES_MAX} more`)
}
