/** The audit verbs: key, checkpoint, verify, prove, consistency, export. */
import { readFileSync, writeFileSync } from "node:fs"
import { resolve } from "node:path"
import { fail } from "../../../core/errors.ts"
import type { CommonOptions } from "../options.ts"
import { bytes, count, print, printJson } from "../output.ts"
import { progressView } from "../progress.ts"
import { callOptions, interruptible, withSite } from "../site.ts"

export const key = (options: CommonOptions): Promise<void> =>
  withSite(options, false, async (site) => {
    const answer = await site.call("audit.key", {}, callOptions(options))
    if (options.json) printJson(answer)
    else print(answer.key)
  })

export const checkpoint = (options: CommonOptions): Promise<void> =>
  withSite(options, false, async (site) => {
    const answer = await site.call("audit.checkpoint", {}, callOptions(options))
    if (options.json) printJson(answer)
    else process.stdout.write(answer.note)
  })

interface VerifyOptions extends CommonOptions {
  readonly archive?: string
  readonly key?: string
  readonly checkpoint?: string
}

export const verify = (options: VerifyOptions): Promise<void> => {
  const { archive, key, checkpoint: note } = options
  if (archive !== undefined) return verifyArchived(options, archive)
  if (key !== undefined || note !== undefined) {
    const why = "--key and --checkpoint go with --archive; for this log, see 'imagelink audit consistency'"
    throw fail("USAGE", { why, see: "imagelink audit verify --help" })
  }
  return verifyOwn(options)
}

const verifyArchived = async ({ json, key, checkpoint: note }: VerifyOptions, file: string): Promise<void> => {
  const { verifyArchive } = await import("../../../core/log/archive/verify.ts")
  const view = await progressView(`verifying ${file}`, json === true)
  const { root, ...verified } = await verifyArchive({
    file,
    ...(key === undefined ? {} : { key }),
    ...(note === undefined ? {} : { kept: { note: read(note), file: note } }),
    signal: interruptible(),
    onProgress: (done, total) => view.report({ done, total, unit: "items" }),
  }).finally(view.end)
  const answer = { ...verified, root: Buffer.from(root).toString("base64"), keyGiven: key !== undefined }
  if (json) return printJson(answer)
  const more = answer.kept === undefined ? "" : `; it extends the ${count(answer.kept, "event")} of ${note}`
  print(`holds: ${count(answer.size, "event")}, root ${answer.root}; tiles and signed checkpoint agree${more}`)
  if (key !== undefined) return
  print(`signed by ${answer.key}`)
  print("note: that key is the archive's own; give --key with what 'imagelink audit key' printed at the site")
}

const verifyOwn = (options: CommonOptions): Promise<void> =>
  withSite(options, false, async (site) => {
    const answer = await site.call("audit.verify", {}, { ...callOptions(options), signal: interruptible() })
    if (options.json) return printJson(answer)
    const { size, published, root } = answer
    const rest = published === size ? "all of them" : `the first ${published} of them`
    const signed =
      published === 0 ? "nothing is published yet" : `tiles, entry bundles and signed checkpoint agree with ${rest}`
    print(`holds: ${count(size, "event")}, root ${root}; ${signed}`)
  })

export const prove = (options: CommonOptions & { out?: string }, position: string): Promise<void> => {
  if (!/^\d{1,15}$/.test(position))
    throw fail("USAGE", { why: `a position is a whole number, not ${position}`, see: "imagelink audit prove --help" })
  return withSite(options, false, async (site) => {
    const answer = await site.call("audit.prove", { position: Number(position) }, callOptions(options))
    if (options.out !== undefined) write(options.out, answer.proof)
    if (options.json) printJson(answer)
    else if (options.out === undefined) process.stdout.write(answer.proof)
    else print(`${options.out}: event ${position} is in the log of ${count(answer.size, "event")}`)
  })
}

export const consistency = (options: CommonOptions, file: string): Promise<void> => {
  const note = read(file)
  return withSite(options, false, async (site) => {
    const answer = await site.call("audit.consistency", { note, file }, callOptions(options))
    if (options.json) return printJson(answer)
    print(
      `extends: the ${count(answer.from, "event")} of ${file} are the first of today's ${answer.to}, root ${answer.root}`,
    )
  })
}

export const exportLog = async (options: CommonOptions & { force?: boolean }, file: string): Promise<void> => {
  const input = { path: resolve(file), ...(options.force ? { force: true } : {}) }
  const view = await progressView(`exporting to ${file}`, options.json === true)
  await withSite(options, false, async (site) => {
    const answer = await site
      .call("audit.export", input, { ...callOptions(options), signal: interruptible(), onProgress: view.report })
      .finally(view.end)
    if (options.json) return printJson(answer)
    print(`${file}: ${count(answer.size, "event")}, root ${answer.root}, ${bytes(answer.sizeBytes)}`)
    print(`check it anywhere: imagelink audit verify --archive ${file} --key "$(imagelink audit key)"`)
  })
}

const read = (file: string): string => {
  try {
    return readFileSync(file, "utf8")
  } catch (e) {
    throw fail("NOTE_REFUSED", { file, why: `it cannot be read: ${(e as Error).message}` }, { underlying: e })
  }
}

const write = (file: string, text: string): void => {
  try {
    writeFileSync(file, text)
  } catch (e) {
    throw fail("IO_ERROR", { what: file, why: (e as Error).message }, { underlying: e })
  }
}
