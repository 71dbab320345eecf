/** imagelink.toml: read, judged, and its paths made whole. */
import { existsSync, readFileSync, realpathSync } from "node:fs"
import { dirname, isAbsolute, join, resolve } from "node:path"
import { fail } from "../../core/errors.ts"
import type { ConfigFile, ConfigSource } from "../../core/runtime/config-file.ts"
import { settingTraits } from "../../core/runtime/settings.ts"

export const configFileIn = (dataDir: string): string => join(dataDir, "imagelink.toml")

/** @throws CONFIG_INVALID naming the file, the line, the key and what was expected */
export const readConfigSource = async (file: string): Promise<Required<ConfigSource>> => {
  const [{ parse, TomlError }, { decodeConfig }, { tomlLines }] = await Promise.all([
    import("smol-toml"),
    import("../../core/runtime/config-reading.ts"),
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

/** Of a link, the folder of what it leads to, so that one file means one thing. */
const withWholePaths = (file: string, config: ConfigFile): ConfigFile => {
  const folder = dirname(realpathSync(file))
  const whole = (key: string, value: unknown) =>
    typeof value === "string" && settingTraits[key as keyof ConfigFile].text === "path" ? resolve(folder, value) : value
  const settings = Object.entries(config).map(([key, value]) => [key, whole(key, value)] as const)
  const plugins = config.plugin?.map(({ module }) => ({ module: relativeTo(folder, module) }))
  return { ...Object.fromEntries(settings), ...(plugins === undefined ? {} : { plugin: plugins }) }
}

/** A path is relative to the file that names it; anything else is a package's name. */
const relativeTo = (folder: string, module: string): string =>
  module.startsWith(".") || isAbsolute(module) ? resolve(folder, module) : module

/** The third-party plugins that a data folder's own config names. */
export const pluginsOf = async (dataDir: string): Promise<ReadonlyArray<string>> => {
  const file = configFileIn(dataDir)
  if (!existsSync(file)) return []
  return ((await readConfigSource(file)).settings.plugin ?? []).map((p) => p.module)
}
