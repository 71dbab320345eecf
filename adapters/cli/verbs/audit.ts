/** The audit verbs: key, checkpoint, verify, prove, consistency. */
import { readFileSync, writeFileSync } from "node:fs"
import { fail } from "../../../core/errors.ts"
import type { CommonOptions } from "../options.ts"
import { count, print, printJson } from "../output.ts"
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

export const verify = (options: CommonOptions): Promise<void> =>
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
