/** Judges what is said of settings, one source at a time. */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import { nearest } from "../domain/nearest.ts"
import { fail } from "../errors.ts"
import {
  ConfigFile,
  FirmwareConfig,
  type LineOf,
  PluginConfig,
  SubnetConfig,
  settingKeys,
  UserConfig,
} from "./config-file.ts"
import { onLine, pathText } from "./refused-setting.ts"
import { settingTraits } from "./settings.ts"

/** Judges one source of settings. @throws CONFIG_INVALID naming every wrong key, its line, and what was expected */
export const decodeConfig = (file: string, input: unknown, lineOf: LineOf = () => undefined): ConfigFile => {
  const decoded = Schema.decodeUnknownResult(ConfigFile, { onExcessProperty: "error", errors: "all" })(input)
  if (Result.isSuccess(decoded)) return decoded.success
  const { issues } = SchemaIssue.makeFormatterStandardSchemaV1()(decoded.failure.issue)
  const found = issues.map(({ message, path = [] }) => {
    const keys = path.map((part) => (typeof part === "object" ? part.key : part) as string | number)
    return { line: lineOf(keys) ?? 0, text: `${pathText(keys)}${expectedText(message, keys)}` }
  })
  const inOrder = found.toSorted((a, b) => a.line - b.line)
  throw fail("CONFIG_INVALID", { file, why: inOrder.map(({ line, text }) => `${onLine(line)}${text}`).join("; ") })
}

/** In our words where a schema's say too little; never with the value that was given, which may be a secret in the wrong place. */
const expectedText = (message: string, path: ReadonlyArray<string | number>): string => {
  if (message === "Missing key") return "is missing"
  if (message !== "Expected no excess property") return message.replace(/^Expected/, "expected").replaceAll("\n", " ")
  const near = nearest(String(path.at(-1)), knownBeside(path))
  return `there is no such setting${near === undefined ? "" : `; expected ${near}?`}`
}

const knownBeside = (path: ReadonlyArray<string | number>): ReadonlyArray<string> => {
  if (path.length === 1) return Object.keys(ConfigFile.fields)
  return Object.keys(tableFields[path[0] as Table] ?? {})
}

type Table = "plugin" | "subnet" | "firmware" | "user"
type Key = Exclude<keyof ConfigFile, Table>

/** Tables of a file are no flags. */
const tableFields: Readonly<Record<Table, object>> = {
  plugin: PluginConfig.fields,
  subnet: SubnetConfig.fields,
  firmware: FirmwareConfig.fields,
  user: UserConfig.fields,
}
const tables: ReadonlySet<string> = new Set(Object.keys(tableFields))
const keys = settingKeys.filter((key): key is Key => !tables.has(key))

/** Settings that come as texts, one by one: from flags, from the environment. @throws CONFIG_INVALID naming the key */
export const configFromTexts = (from: string, textOf: (key: Key) => string | undefined): ConfigFile => {
  const given = keys.flatMap((key) => {
    const text = textOf(key)
    if (text === undefined) return []
    const isNumber = /^\d+$/.test(text) && settingTraits[key].text === undefined
    return [[key, isNumber ? Number(text) : text] as const]
  })
  return decodeConfig(from, Object.fromEntries(given))
}
