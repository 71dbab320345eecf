/**
 * Loads a third party's plugin, named in the config, as an ES module.
 *
 * **Details** `./shelf.ts`, `/opt/shelf/index.mjs` and file URLs are files, relative ones to the config's folder. Anything else is a package
 * name, looked up in the `node_modules` of that folder and those above it.
 *
 * **Gotchas** A plugin runs with all the rights of the server. The guard contains its mistakes, not its intentions.
 *
 * Not done: packages whose `exports` have an `import` condition and no `default`. Node resolves those only from a module that lies
 * in the folder itself; name such a plugin's file instead.
 */
import { createRequire } from "node:module"
import { join, resolve } from "node:path"
import { pathToFileURL } from "node:url"
import { fail } from "../../core/errors.ts"
import type { DiskFormat } from "../../core/storage/format.ts"
import type { StoragePlugin } from "../../core/storage/plugin.ts"
import { checkPlugin } from "../../core/storage/registry.ts"

/** The default export of a module, judged. @throws PLUGIN_INVALID when it cannot be found, fails while loading, or is no plugin */
export const loadPluginModule = async (specifier: string, baseDir: string): Promise<StoragePlugin | DiskFormat> => {
  const module = await importFrom(specifier, baseDir)
  const plugged = checkPlugin(module.default, specifier)
  return plugged.is === "storage" ? plugged.plugin : plugged.format
}

const importFrom = async (specifier: string, baseDir: string): Promise<{ readonly default?: unknown }> => {
  try {
    return await import(urlOf(specifier, baseDir))
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error)
    const why = `it cannot be loaded: ${said.split("\n")[0]}`
    throw fail("PLUGIN_INVALID", { module: specifier, why }, { underlying: error })
  }
}

const urlOf = (specifier: string, baseDir: string): string => {
  if (specifier.startsWith("file:")) return specifier
  const isFile = /^(\.{0,2}\/|[A-Za-z]:[\\/])/.test(specifier)
  const path = isFile ? resolve(baseDir, specifier) : createRequire(join(resolve(baseDir), "config")).resolve(specifier)
  return pathToFileURL(path).href
}
