/**
 * The installed plugins by kind, and the installed formats by name: a checked map, nothing more.
 *
 * **Details** Whoever composes the program adds its own plugins and those the config names; both take the same check, because both
 * are values of a module that nobody has type-checked against this version.
 */
import { fail } from "../errors.ts"
import { limits } from "../limits.ts"
import type { DiskFormat } from "./format.ts"
import type { StoragePlugin } from "./plugin.ts"

/** What a module's default export turned out to be. */
export type Plugged =
  | { readonly is: "storage"; readonly plugin: StoragePlugin }
  | { readonly is: "format"; readonly format: DiskFormat }

const manifestKeys = ["persistent", "writable", "sparse", "shared", "local"] as const
const kindPattern = /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/

/** Judges the shape of a value that claims to be a plugin. @throws PLUGIN_INVALID with one detail per fault */
export const checkPlugin = (value: unknown, module: string): Plugged => {
  if (typeof value !== "object" || value === null)
    throw fail("PLUGIN_INVALID", { module, why: "it has no default export that is an object" })
  const given = value as Record<string, unknown>
  const isFormat = Object.hasOwn(given, "format")
  const faults = isFormat ? formatFaults(given) : storageFaults(given)
  if (given.apiVersion !== 1) faults.unshift(`apiVersion is ${JSON.stringify(given.apiVersion)}, not 1`)
  if (faults.length > 0) throw fail("PLUGIN_INVALID", { module, why: faults[0]! }, { details: faults })
  return isFormat ? { is: "format", format: value as DiskFormat } : { is: "storage", plugin: value as StoragePlugin }
}

const nameFault = (key: string, value: unknown): Array<string> =>
  typeof value === "string" && value.length <= limits.pluginKindCharsMax && kindPattern.test(value)
    ? []
    : [`${key} is not 1 to ${limits.pluginKindCharsMax} of a-z, 0-9 and inner hyphens`]

const functionFaults = (
  given: Record<string, unknown>,
  required: ReadonlyArray<string>,
  optional: ReadonlyArray<string>,
) => [
  ...required.filter((key) => typeof given[key] !== "function").map((key) => `there is no function ${key}`),
  ...optional
    .filter((key) => given[key] !== undefined && typeof given[key] !== "function")
    .map((key) => `${key} is not a function`),
]

const formatFaults = (given: Record<string, unknown>): Array<string> => [
  ...nameFault("format", given.format),
  ...functionFaults(given, ["probe", "open"], ["map", "seal"]),
]

const storageFaults = (given: Record<string, unknown>): Array<string> => {
  const faults = [...nameFault("kind", given.kind), ...functionFaults(given, ["open"], ["sibling", "folder"])]
  const manifest = given.manifest as Record<string, unknown> | undefined
  if (typeof manifest !== "object" || manifest === null) faults.push("there is no manifest")
  else
    for (const key of manifestKeys)
      if (typeof manifest[key] !== "boolean") faults.push(`manifest.${key} is neither true nor false`)
  if (given.config !== undefined && !isStandardSchema(given.config))
    faults.push("config is not a Standard Schema, version 1")
  if (typeof given.folder === "function" && manifest?.writable !== true)
    faults.push("folder is there, but manifest.writable is not true")
  return faults
}

/** ArkType's schemas are functions, so a function counts. */
const isStandardSchema = (value: unknown): boolean => {
  if ((typeof value !== "object" && typeof value !== "function") || value === null) return false
  const standard = (value as { "~standard"?: { version?: unknown; validate?: unknown } })["~standard"]
  return standard?.version === 1 && typeof standard.validate === "function"
}

/** A plugin and how messages call its module. */
export type Installed = Plugged & { readonly module: string }

export class PluginRegistry {
  readonly #installed: Array<Installed> = []
  readonly #storage = new Map<string, StoragePlugin>()
  readonly #formats = new Map<string, DiskFormat>()

  /** Adds a plugin of either sort. `module` is how messages call it. @throws PLUGIN_INVALID, also when its name is taken */
  add(value: unknown, module: string): this {
    const plugged = checkPlugin(value, module)
    const [map, name] =
      plugged.is === "storage" ? [this.#storage, plugged.plugin.kind] : [this.#formats, plugged.format.format]
    if (map.has(name)) throw fail("PLUGIN_INVALID", { module, why: `there already is a ${plugged.is} plugin ${name}` })
    if (plugged.is === "storage") this.#storage.set(name, plugged.plugin)
    else this.#formats.set(name, plugged.format)
    this.#installed.push({ ...plugged, module })
    return this
  }

  /** @throws PLUGIN_NOT_FOUND */
  storage(kind: string): StoragePlugin {
    const plugin = this.#storage.get(kind)
    if (plugin === undefined) throw fail("PLUGIN_NOT_FOUND", { kind, known: this.kinds.join(", ") || "none" })
    return plugin
  }

  /** Sorted, for messages. */
  get kinds(): ReadonlyArray<string> {
    return [...this.#storage.keys()].sort()
  }

  /** All of them, in the order they were added. */
  get installed(): ReadonlyArray<Installed> {
    return this.#installed
  }

  /** In the order they were added. */
  get formats(): ReadonlyArray<DiskFormat> {
    return [...this.#formats.values()]
  }
}
