/** Every place that a server's settings come from: imagelink.toml, then the environment, then flags; each key by where it was said. */
import { existsSync } from "node:fs"
import { type ConfigSource, settingKeys } from "../../core/runtime/config-file.ts"
import { configFromTexts } from "../../core/runtime/config-reading.ts"
import { configFileIn, readConfigSource } from "./config-file.ts"
import type { CommonOptions } from "./options.ts"
import { dataDir } from "./site.ts"

/** Every setting is a flag too, which commander writes in camel case. */
export interface SettingOptions extends CommonOptions {
  readonly config?: string
}

export interface NamedSource extends ConfigSource {
  /** `file:line`, IMAGELINK_X or --x. */
  readonly at: (key: string) => string
}

const flagOf = (key: string) => key.replaceAll(/-(.)/g, (_, letter: string) => letter.toUpperCase())
const variableOf = (key: string) => `IMAGELINK_${key.toUpperCase().replaceAll("-", "_")}`

/** In the order of their weight, the last one wins. @throws CONFIG_INVALID */
export const settingSources = async (
  options: SettingOptions,
  environment: NodeJS.ProcessEnv = process.env,
): Promise<ReadonlyArray<NamedSource>> => {
  const file = options.config ?? configFileIn(dataDir(options))
  const flags = options as Readonly<Record<string, string | undefined>>
  const fromEnvironment = configFromTexts("the environment (IMAGELINK_*)", (key) => environment[variableOf(key)])
  const fromFlags = configFromTexts("the command line", (key) => flags[flagOf(key)])
  return [
    ...(options.config !== undefined || existsSync(file) ? [await fileSource(file)] : []),
    { from: "the environment", settings: fromEnvironment, at: variableOf },
    { from: "the command line", settings: fromFlags, at: (key) => `--${key}` },
  ]
}

/** Flags that another process was given, for this one's where it was given none of its own. */
export const withFlagsOf = (flags: Readonly<Record<string, string>>, options: SettingOptions): SettingOptions => ({
  ...Object.fromEntries(Object.entries(flags).map(([key, text]) => [flagOf(key), text])),
  ...options,
})

/** What was said by flag, to be said again to another process. */
export const settingFlags = (options: SettingOptions): ReadonlyArray<string> => {
  const flags = options as Readonly<Record<string, string | undefined>>
  const said = [...settingKeys, "config"].map((key) => [key, flags[flagOf(key)]] as const)
  return said.flatMap(([key, text]) => (text === undefined ? [] : [`--${key}`, text]))
}

const fileSource = async (file: string): Promise<NamedSource> => {
  const source = await readConfigSource(file)
  return { ...source, at: (key) => `${file}:${source.lineOf([key])}` }
}
