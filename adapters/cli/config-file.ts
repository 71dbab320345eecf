/** imagelink.toml: read, judged, and its plugins' paths made whole. */
import { existsSync, readFileSync } from "node:fs"
import { dirname, isAbsolute, join, resolve } from "node:path"
import { fail } from "../../core/errors.ts"
import type { ConfigFile } from "../../core/runtime/config.ts"

export const configFileIn = (dataDir: string): string => join(dataDir, "imagelink.toml")

/** @throws CONFIG_INVALID naming the file and the key */
export const readConfigFile = async (file: string): Promise<ConfigFile> => {
  const [{ parse }, { decodeConfig }] = await Promise.all([import("smol-toml"), import("../../core/runtime/config.ts")])
  let input: unknown
  try {
    input = parse(readFileSync(file, "utf8"))
  } catch (e) {
    throw fail("CONFIG_INVALID", { file, why: (e as Error).message.replaceAll(/\s*\n\s*/g, " ") }, { underlying: e })
  }
  const config = decodeConfig(file, input)
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
  return ((await readConfigFile(file)).plugin ?? []).map((p) => p.module)
}
