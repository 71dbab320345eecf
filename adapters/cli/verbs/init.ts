/** `imagelink init`: asks the questions that only an operator can answer, and writes imagelink.toml from the answers. */
import { existsSync, mkdirSync, statSync, writeFileSync } from "node:fs"
import { dirname, resolve } from "node:path"
import { createInterface } from "node:readline/promises"
import { fail } from "../../../core/errors.ts"
import { effectiveConfig } from "../../../core/runtime/config.ts"
import { decodeConfig } from "../../../core/runtime/config-reading.ts"
import { configFileIn } from "../config-file.ts"
import { type Answers, cardOf, cards, dhcpMode, rangeIn, refuse } from "../init/answers.ts"
import { fileText } from "../init/file-text.ts"
import type { CommonOptions } from "../options.ts"
import { print, printJson } from "../output.ts"
import { dataDir } from "../site.ts"

interface InitOptions extends CommonOptions {
  readonly interface?: string
  readonly dhcp?: string
  readonly dhcpRange?: string
  readonly bootFiles?: string
  readonly yes?: boolean
  readonly force?: boolean
}

/** A question with the answer that an empty line gives. */
type Ask = (question: string, otherwise: string) => Promise<string>

export const init = async (options: InitOptions): Promise<void> => {
  if (options.server !== undefined) throw refuse("init writes a file of this machine, not of a server elsewhere")
  const asked = await withQuestions(options, async (ask) => {
    const dir = resolve(options.data ?? (await ask("Data folder", dataDir(options))))
    refuseExisting(configFileIn(dir), options)
    return { file: configFileIn(dir), answers: await answersOf(options, ask) }
  })
  const text = fileText(asked.answers)
  const { parse } = await import("smol-toml")
  effectiveConfig([{ from: asked.file, settings: decodeConfig(asked.file, parse(text)) }])
  write(asked.file, text, options)
  if (options.json) printJson({ file: asked.file, ...asked.answers })
  else print(`${asked.file} is written; next: imagelink serve --data ${dirname(asked.file)}`)
}

/** @throws USAGE where there is nobody to ask and --yes does not say to take what is usual */
const withQuestions = async <A>({ yes }: InitOptions, use: (ask: Ask) => Promise<A>): Promise<A> => {
  if (yes) return use(async (_, otherwise) => otherwise)
  if (!process.stdin.isTTY) throw refuse("there is no terminal to ask on; say --yes, and what differs by flags")
  const lines = createInterface({ input: process.stdin, output: process.stderr })
  // Ctrl-D and Ctrl-C leave everything as it was.
  const left = new AbortController()
  lines.once("close", () => left.abort())
  const ask: Ask = async (question, otherwise) =>
    (await lines.question(`${question} [${otherwise}]: `, { signal: left.signal })).trim() || otherwise
  try {
    return await use(ask)
  } catch (e) {
    if ((e as Error).name === "AbortError") throw refuse("it was left before the last answer; nothing is written")
    throw e
  } finally {
    lines.close()
  }
}

const answersOf = async (options: InitOptions, ask: Ask): Promise<Answers> => {
  const known = cards()
  const names = known.map((c) => c.name).join(", ") || "none here has an IPv4 address"
  const name = options.interface ?? (await ask(`Interface that PCs are on (${names}); none: this machine only`, "none"))
  const card = name === "none" ? undefined : cardOf(name, known)
  if (card === undefined && (options.dhcp ?? "off") !== "off") throw refuse("dhcp needs the interface that it serves")
  const mode = card === undefined ? "off" : dhcpMode(options.dhcp ?? (await ask("DHCP: full, proxy or off", "off")))
  if (mode !== "full" && options.dhcpRange !== undefined) throw refuse("dhcp-range is for dhcp full only")
  const range =
    mode === "full" ? (options.dhcpRange ?? (await ask(`Addresses to lend, A-B of ${card!.cidr}`, "none"))) : "none"
  const boot = options.bootFiles ?? (await ask("Folder of boot files; usual: boot/ here, else /usr/lib/ipxe", "usual"))
  return {
    interface: card?.name,
    address: card?.address ?? "127.0.0.1",
    dhcp: mode,
    range: range === "none" ? undefined : rangeIn(card!.cidr, range),
    bootFiles: boot === "usual" ? undefined : bootFolderOf(boot),
  }
}

/** Whole, for a relative path in the file would be relative to the file. */
const bootFolderOf = (text: string): string => {
  const folder = resolve(text)
  if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory())
    throw refuse(`boot-files: there is no folder ${folder}`)
  return folder
}

/** @throws FILE_EXISTS */
const refuseExisting = (file: string, { force }: InitOptions): void => {
  if (!force && existsSync(file)) throw fail("FILE_EXISTS", { path: file })
}

/** @throws FILE_EXISTS IO_ERROR */
const write = (file: string, text: string, { force }: InitOptions): void => {
  try {
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, text, { flag: force ? "w" : "wx" })
  } catch (e) {
    // Somebody else may have been quicker.
    refuseExisting(file, { force: force ?? false })
    throw fail("IO_ERROR", { what: file, why: (e as Error).message }, { underlying: e })
  }
}
