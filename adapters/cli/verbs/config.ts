/** `imagelink config show|check|reload`: what a server would be told, by whom, whether that holds together; and telling it to the one that runs. */
import { fail } from "../../../core/errors.ts"
import { defaults, effectiveConfig } from "../../../core/runtime/config.ts"
import { type ConfigFile, settingKeys } from "../../../core/runtime/config-file.ts"
import { located } from "../../../core/runtime/refused-setting.ts"
import { settingTraits } from "../../../core/runtime/settings.ts"
import { configFileIn } from "../config-file.ts"
import { type Column, count, print, printJson, table } from "../output.ts"
import { type NamedSource, type SettingOptions, settingSources } from "../settings.ts"
import { callOptions, dataDir, withServer } from "../site.ts"

interface Setting {
  readonly key: keyof ConfigFile
  /** Null: not set, and decided when the server starts. */
  readonly value: unknown
  readonly from: string
  /** What a running server takes a change with. */
  readonly applies: "reload" | "restart"
}

const settingOf = (sources: ReadonlyArray<NamedSource>, key: keyof ConfigFile): Setting => {
  const source = sources.findLast((s) => s.settings[key] !== undefined)
  const { applies } = settingTraits[key]
  if (source !== undefined) return { key, value: source.settings[key], from: source.at(key), applies }
  return { key, value: (defaults as ConfigFile)[key] ?? null, from: "default", applies }
}

const valueText = (value: unknown): string =>
  value === null ? "-" : Array.isArray(value) ? value.map((row) => JSON.stringify(row)).join(" ") : String(value)

const columns: ReadonlyArray<Column<Setting>> = [
  { title: "SETTING", value: (s) => s.key },
  { title: "VALUE", value: (s) => valueText(s.value) },
  { title: "FROM", value: (s) => s.from },
  { title: "TAKES", value: (s) => s.applies },
]

/** The files and the environment are of this machine; a server elsewhere has its own. */
const refuseServer = (options: SettingOptions): void => {
  if (options.server !== undefined)
    throw fail("USAGE", { why: "config reads this machine's files, not a server's", see: "imagelink config --help" })
}

/** @throws CONFIG_INVALID where a server would refuse to start */
export const show = async (options: SettingOptions): Promise<void> => {
  refuseServer(options)
  const sources = await settingSources(options)
  effectiveConfig(sources)
  const settings = settingKeys.map((key) => settingOf(sources, key))
  if (options.json) printJson(settings)
  else print(table(columns, settings))
}

/** @throws CONFIG_INVALID */
export const check = async (options: SettingOptions, named?: string): Promise<void> => {
  refuseServer(options)
  const file = named ?? configFileIn(dataDir(options))
  const sources = await settingSources({ ...options, config: file })
  const config = effectiveConfig(sources)
  const { judgeSettings } = await import("../../compose-server.ts")
  await judgeSettings(config, dataDir(options)).catch((e: unknown) => {
    throw located(sources, e)
  })
  const settings = Object.keys(sources[0]!.settings).length
  if (options.json) printJson({ file, settings })
  else print(`${file}: ${count(settings, "setting")}, no error`)
}

/** Done although some of it waits for a restart: that is said. @throws CONFIG_INVALID, and the server goes on as it was; SERVER_NOT_REACHABLE */
export const reload = (options: SettingOptions): Promise<void> =>
  withServer(options, async (site) => {
    const answer = await site.call("config.reload", {}, callOptions(options))
    if (options.json) return printJson(answer)
    const { applied, restart } = answer
    print(applied.length === 0 ? "nothing changed that can while it runs" : `in force: ${applied.join(", ")}`)
    if (restart.length > 0) print(`needs a restart: ${restart.join(", ")}`)
  })
