/** `imagelink plugin list | describe | check`: the plugin kit from the command line, in this process, whether a server runs or not. */
import { existsSync, readFileSync, statSync } from "node:fs"
import { basename, isAbsolute, resolve } from "node:path"
import { fail } from "../../../core/errors.ts"
import { limits } from "../../../core/limits.ts"
import type { DiskFormat } from "../../../core/storage/format.ts"
import { validateConfig } from "../../../core/storage/open-volume.ts"
import type { PluginManifest, StoragePlugin } from "../../../core/storage/plugin.ts"
import type { Installed } from "../../../core/storage/registry.ts"
import { issueLines } from "../../../core/storage/schema-builder.ts"
import { pluginsOf } from "../config-file.ts"
import type { CommonOptions } from "../options.ts"
import { count, print, printJson, table } from "../output.ts"
import { dataDir } from "../site.ts"

interface PluginOptions extends CommonOptions {
  readonly module?: string
}

interface CheckOptions extends PluginOptions {
  readonly config?: string
  readonly bytes?: string
  readonly folderConfig?: string
  readonly image?: ReadonlyArray<string>
  readonly guest?: string
}

const HELP = { see: "imagelink plugin check --help" }
const promises = ["persistent", "writable", "sparse", "shared", "local"] as const satisfies ReadonlyArray<
  keyof PluginManifest
>

const kit = async (options: PluginOptions) => {
  const dir = dataDir(options)
  const { module } = options
  const own = module === undefined ? [] : [existsSync(module) ? resolve(module) : module]
  const { pluginKit } = await import("../../compose.ts")
  return pluginKit(dir, async () => [...(await pluginsOf(dir)), ...own])
}

const nameOf = (one: Installed): string => (one.is === "storage" ? one.plugin.kind : one.format.format)

const find = (installed: ReadonlyArray<Installed>, name: string): Installed => {
  const found = installed.find((one) => nameOf(one) === name)
  if (found === undefined)
    throw fail("PLUGIN_NOT_FOUND", { kind: name, known: installed.map(nameOf).sort().join(", ") })
  return found
}

const summary = (one: Installed) => ({
  name: nameOf(one),
  sort: one.is,
  module: one.module,
  apiVersion: 1,
  ...(one.is === "storage" ? { manifest: one.plugin.manifest } : {}),
})

export const list = async (options: PluginOptions): Promise<void> => {
  const rows = (await kit(options)).installed.map(summary)
  if (options.json) return printJson(rows)
  const promise = (key: keyof PluginManifest) => ({
    title: key.toUpperCase(),
    value: (row: (typeof rows)[number]) => (row.manifest === undefined ? "" : row.manifest[key] ? "yes" : "no"),
  })
  print(
    table(
      [
        { title: "NAME", value: (row) => row.name },
        { title: "SORT", value: (row) => row.sort },
        ...promises.map(promise),
        { title: "MODULE", value: (row) => row.module },
      ],
      rows,
    ),
  )
}

export const describe = async (options: PluginOptions, name: string): Promise<void> => {
  const found = find((await kit(options)).installed, name)
  const parts = found.is === "storage" ? storageParts(found.plugin) : formatParts(found.format)
  const config = found.is === "storage" ? await configOf(found.plugin) : undefined
  if (options.json) return printJson({ ...summary(found), parts, ...(config === undefined ? {} : { config }) })
  print(`${found.is === "storage" ? "storage plugin" : "format"} ${name}, apiVersion 1, from ${found.module}`)
  if (found.is === "storage")
    for (const key of promises)
      print(`  ${key.padEnd(11)} ${found.plugin.manifest[key] ? "yes" : "no "}  ${meanings[key]}`)
  print(`  brings      ${parts.join(", ")}`)
  for (const [i, line] of (config ?? []).entries()) print(`  ${(i === 0 ? "config" : "").padEnd(11)} ${line}`)
}

const meanings: Readonly<Record<keyof PluginManifest, string>> = {
  persistent: "bytes outlive the process",
  writable: "it can hold what is written",
  sparse: "it tells holes from data",
  shared: "two openings of one config see the same bytes",
  local: "a read crosses no network",
}

const brought = (value: object, names: ReadonlyArray<string>) => names.filter((name) => name in value)
const storageParts = (plugin: StoragePlugin) => brought(plugin, ["open", "sibling", "folder"])
const formatParts = (format: DiskFormat) => brought(format, ["probe", "open", "map", "seal"])

/** What the schema says to an empty config and to a key that nobody has: which keys there are, whatever library it was made with. */
const configOf = async ({ config }: StoragePlugin): Promise<ReadonlyArray<string>> => {
  if (config === undefined) return ["anything: it has no schema"]
  const said = [{}, { "no-such-key": true }].map(async (probe) => {
    const { issues } = await config["~standard"].validate(probe)
    return issueLines(issues ?? [])
  })
  const lines = [...new Set((await Promise.all(said)).flat())]
  return lines.length === 0 ? ["every key may be left out"] : lines
}

export const check = async (options: CheckOptions, name: string): Promise<void> => {
  const found = await kit(options)
  const plugged = find(found.installed, name)
  const secondsMax = limits.pluginCheckSecondsMax
  const checks =
    plugged.is === "storage"
      ? await found.checkStorage({
          ...(await storageGiven(plugged.plugin, options)),
          ...(isAbsolute(plugged.module) ? { module: plugged.module } : {}),
          host: found.host,
          secondsMax,
        })
      : await found.checkFormat({ ...formatGiven(plugged.format, options), secondsMax })
  const of = (result: string) => checks.filter((one) => one.result === result)
  const broken = of("failed")
  const totals = { passed: of("passed").length, failed: broken.length, skipped: of("skipped").length }
  if (options.json) printJson({ name, sort: plugged.is, module: plugged.module, ...totals, checks })
  else {
    print(
      table(
        [
          { title: "RESULT", value: (one) => (one.result === "failed" ? "BROKEN" : one.result) },
          { title: "PROMISE", value: (one) => one.check },
          { title: "WHY", value: (one) => one.why?.split("\n")[0] ?? "" },
        ],
        checks,
      ),
    )
    print(`\n${count(totals.passed, "promise")} kept, ${totals.failed} broken, ${totals.skipped} skipped`)
  }
  if (broken.length === 0) return
  const why = `${count(broken.length, "promise is", "promises are")} broken, first: ${broken[0]!.check}`
  throw fail("PLUGIN_BROKE_CONTRACT", { kind: name, why })
}

const storageGiven = async (plugin: StoragePlugin, options: CheckOptions) => {
  if (options.config === undefined)
    throw fail("USAGE", {
      why: `${plugin.kind} is a storage plugin: say with --config JSON what it shall open`,
      ...HELP,
    })
  const config = parsed("--config", options.config)
  await validateConfig(plugin, config)
  const folder = options.folderConfig === undefined ? undefined : parsed("--folder-config", options.folderConfig)
  if (folder !== undefined) {
    if (plugin.folder === undefined) throw fail("USAGE", { why: `${plugin.kind} has no folders to write to`, ...HELP })
    await validateConfig(plugin, folder)
  }
  const bytes = options.bytes === undefined ? undefined : contents(options.bytes)
  const file = fileOf(config)
  return {
    plugin,
    config,
    ...(file === undefined ? {} : { file }),
    ...(folder === undefined ? {} : { folder }),
    ...(bytes === undefined ? {} : { bytes }),
  }
}

/** The file that a config names, where it names one that can be held in memory. */
const fileOf = (config: unknown): string | undefined => {
  const { path } = (config ?? {}) as { readonly path?: unknown }
  const stats = typeof path === "string" ? statSync(path, { throwIfNoEntry: false }) : undefined
  return stats?.isFile() && stats.size <= limits.pluginCheckFileBytesMax ? (path as string) : undefined
}

const formatGiven = (format: DiskFormat, { image = [], guest }: CheckOptions) => {
  if (image.length === 0 || guest === undefined)
    throw fail("USAGE", {
      why: `${format.format} is a format: give an image with --image and its disk with --guest`,
      ...HELP,
    })
  return {
    format,
    files: Object.fromEntries(image.map((file) => [basename(file), contents(file)])),
    guest: contents(guest),
  }
}

const parsed = (flag: string, text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch (e) {
    throw fail("USAGE", { why: `${flag} is not JSON: ${(e as Error).message}`, ...HELP })
  }
}

/** A file that is held in memory. */
const contents = (path: string): Uint8Array => {
  try {
    const { size } = statSync(path)
    if (size > limits.pluginCheckFileBytesMax)
      throw new Error(`it has ${size} bytes, of at most ${limits.pluginCheckFileBytesMax}`)
    return new Uint8Array(readFileSync(path))
  } catch (e) {
    throw fail("FILE_UNREADABLE", { path, why: (e as Error).message }, { underlying: e })
  }
}
