/** imagelink.toml: read, judged, and its paths made whole. */
import { existsSync, readFileSync } from "node:fs"
import { dirname, isAbsolute, join, resolve } from "node:path"
import { fail } from "../../core/errors.ts"
import type { ConfigFile, ConfigSource } from "../../core/runtime/config.ts"

export const configFileIn = (dataDir: string): string => join(dataDir, "imagelink.toml")

/** @throws CONFIG_INVALID naming the file, the line, the key and what was expected */
export const readConfigSource = async (file: string): Promise<Required<ConfigSource>> => {
  const [{ parse, TomlError }, { decodeConfig }, { tomlLines }] = await Promise.all([
    import("smol-toml"),
    import("../../core/runtime/config.ts"),
    import("./toml-lines.ts"),
  ])
  let text: string
  let input: unknown
  try {
    text = readFileSync(file, "utf8")
    input = parse(text)
  } catch (e) {
    const why = e instanceof TomlError ? syntaxText(e) : (e as Error).message
    throw fail("CONFIG_INVALID", { file, why })
  }
  let lines: ReturnType<typeof tomlLines> | undefined
  const lineOf: ReturnType<typeof tomlLines> = (path) => {
    lines ??= tomlLines(text)
    return lines(path)
  }
  return { from: file, settings: withWholePaths(file, decodeConfig(file, input, lineOf)), lineOf }
}

/** Without the lines that the parser quotes: who names the wrong file may have named one of secrets. */
const syntaxText = (e: { readonly line: number; readonly column: number; readonly message: string }): string =>
  `line ${e.line}, column ${e.column}: it is not TOML: ${e.message.split("\n")[0]!.replace("Invalid TOML document: ", "")}`

const withWholePaths = (file: string, config: ConfigFile): ConfigFile => {
  const bootFiles = config["boot-files"]
  const secrets = config["iscsi-secrets"]
  return {
    ...config,
    ...(bootFiles === undefined ? {} : { "boot-files": resolve(dirname(file), bootFiles) }),
    ...(secrets === undefined ? {} : { "iscsi-secrets": resolve(dirname(file), secrets) }),
    ...(config.plugin === undefined
      ? {}
      : { plugin: config.plugin.map((p) => ({ module: relativeTo(file, p.module) })) }),
  }
}

/** A path is relative to the file that names it; anything else is a package's name. */
const relativeTo = (file: string, module: string): string =>
  module.startsWith(".") || isAbsolute(module) ? resolve(dirname(file), module) : module

/** The third-party plugins that a data folder's own config names. */
export const pluginsOf = async (dataDir: string): Promise<ReadonlyArray<string>> => {
  const file = configFileIn(dataDir)
  if (!existsSync(file)) return []
  return ((await readConfigSource(file)).settings.plugin ?? []).map((p) => p.module)
}
