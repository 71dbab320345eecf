/**
 * The installed plugins by kind, and the installed formats by name: a checked map, nothing more.
 *
 * **Details** Whoever composes the program adds its own plugins and those the config names; both take the same check, because both
 * are values of a module that nobody has type-checked against this version.
 */
import { fail } from "../errors.ts"
import { limits } from "../limits.ts"
import type { DiskFormat } from "./format.ts"
import type { StorageLocation, StoragePlugin } from "./plugin.ts"

/** What a module's default export turned out to be. */
export type Plugged =
  | { readonly is: "storage"; readonly plugin: StoragePlugin }
  | { readonly is: "format"; readonly format: DiskFormat }

const manifestKeys = ["persistent", "writable", "sparse", "shared", "local"] as const
const schemePattern = /^[a-z][a-z0-9+.-]*$/
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
  const faults = [
    ...nameFault("kind", given.kind),
    ...functionFaults(given, ["open"], ["sibling", "relative", "folder"]),
  ]
  const manifest = given.manifest as Record<string, unknown> | undefined
  if (typeof manifest !== "object" || manifest === null) faults.push("there is no manifest")
  else
    for (const key of manifestKeys)
      if (typeof manifest[key] !== "boolean") faults.push(`manifest.${key} is neither true nor false`)
  if (given.schemes !== undefined && !isSchemes(given.schemes)) faults.push("schemes is not a list of URL schemes")
  if (given.config !== undefined && !isStandardSchema(given.config))
    faults.push("config is not a Standard Schema, version 1")
  if (typeof given.folder === "function" && manifest?.writable !== true)
    faults.push("folder is there, but manifest.writable is not true")
  return faults
}

const isSchemes = (value: unknown): boolean =>
  Array.isArray(value) && value.every((scheme) => typeof scheme === "string" && schemePattern.test(scheme))

/** ArkType's schemas are functions, so a function counts. */
const isStandardSchema = (value: unknown): boolean => {
  if ((typeof value !== "object" && typeof value !== "function") || value === null) return false
  const standard = (value as { "~standard"?: { version?: unknown; validate?: unknown } })["~standard"]
  return standard?.version === 1 && typeof standard.validate === "function"
}

/** The scheme of an address like `https://…`, in lower case; undefined for a path. */
export const schemeOf = (place: string): string | undefined =>
  /^([a-z][a-z0-9+.-]*):\/\//i.exec(place)?.[1]?.toLowerCase()
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

  /** Where a path or an address is; a path is a local file. @throws PLUGIN_NOT_FOUND for an address that no plugin takes */
  locate(place: string): StorageLocation {
    const scheme = schemeOf(place)
    if (scheme === undefined) return { kind: "file", config: { path: place } }
    const plugin = [...this.#storage.values()].find(({ schemes }) => schemes?.includes(scheme))
    if (plugin === undefined)
      throw fail("PLUGIN_NOT_FOUND", { kind: `${scheme}://`, known: this.kinds.join(", ") || "none" })
    return { kind: plugin.kind, config: { url: place } }
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
