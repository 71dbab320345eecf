/** A setting that is of its kind and yet cannot be, as only the part that it is for can tell: said with its key there, and with its file and line where those are known. */
import { fail, type ImagelinkError, isImagelinkError } from "../errors.ts"
import type { ConfigSource } from "./config-file.ts"

export type SettingPath = ReadonlyArray<string | number>

/** Goes along as the error's cause. */
class RefusedSetting extends Error {
  readonly path: SettingPath
  readonly why: string

  constructor(path: SettingPath, why: string) {
    super(why)
    this.path = path
    this.why = why
  }
}

/** `["subnet", 1, "range"]` is what the second [[subnet]] says. */
export const refuseSetting = (path: SettingPath, why: string): ImagelinkError =>
  fail(
    "CONFIG_INVALID",
    { file: "the configuration", why: `${pathText(path)}${why}` },
    { underlying: new RefusedSetting(path, why) },
  )

/** `subnet[1].range: ` */
export const pathText = (path: SettingPath): string =>
  path.length === 0
    ? ""
    : `${path.map((part, i) => (typeof part === "number" ? `[${part}]` : i === 0 ? part : `.${part}`)).join("")}: `

export const onLine = (line: number | undefined) => (line ? `line ${line}: ` : "")

/** The same error with the source that says the setting, and the line; any other error as it is. */
export const located = (sources: ReadonlyArray<ConfigSource>, e: unknown): unknown => {
  if (!isImagelinkError(e) || !(e.cause instanceof RefusedSetting)) return e
  const { path, why } = e.cause
  const source = sources.findLast((s) => s.settings[path[0] as keyof ConfigSource["settings"]] !== undefined)
  if (source === undefined) return e
  return fail("CONFIG_INVALID", { file: source.from, why: `${onLine(source.lineOf?.(path))}${pathText(path)}${why}` })
}
