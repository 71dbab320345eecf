/**
 * Opens what a storage location names: the config is checked, the plugin asked, its answer guarded.
 *
 * **Gotchas** An opening that nobody waits for any more settles at once with CANCELLED, even if the plugin does not look at its
 * signal, and one that takes too long with IO_ERROR; a volume that it still answers later is closed.
 */
import { fail } from "../errors.ts"
import type { Host } from "../host.ts"
import { type Patience, pluginPatience } from "./asker.ts"
import { contain, type Where } from "./contain.ts"
import { type GuardedVolume, guardVolume, letGo } from "./guard.ts"
import { guardFolder } from "./guard-folder.ts"
import type { StorageLocation, StoragePlugin } from "./plugin.ts"
import type { PluginRegistry } from "./registry.ts"
import type { StandardResult } from "./schema.ts"
import { issueLines } from "./schema-builder.ts"
import type { Volume, VolumeFolder } from "./volume.ts"

export interface OpenOptions {
  readonly plugins: Pick<PluginRegistry, "storage">
  readonly host: Host
  readonly signal: AbortSignal
  readonly patience?: Patience
}

/** What an operator calls a location: its path or URL, else its plugin's kind. */
export const locationPath = (kind: string, config: unknown): string => {
  const { path, url } = (typeof config === "object" && config !== null ? config : {}) as {
    path?: unknown
    url?: unknown
  }
  return typeof path === "string" ? path : typeof url === "string" ? url : kind
}

export const whereOf = (kind: string, config: unknown, host: Host): Where => {
  const user = host.userName?.()
  return { kind, path: locationPath(kind, config), ...(user === undefined ? {} : { user }) }
}

/** What the plugin's schema makes of a config. @throws PLUGIN_CONFIG_INVALID, whose cause is every issue */
export const validateConfig = async (plugin: StoragePlugin, config: unknown): Promise<unknown> => {
  if (plugin.config === undefined) return config
  let result: StandardResult<unknown>
  try {
    result = await plugin.config["~standard"].validate(config)
  } catch (thrown) {
    const why = `its schema threw: ${thrown instanceof Error ? thrown.message : String(typeof thrown)}`
    throw fail("PLUGIN_BROKE_CONTRACT", { kind: plugin.kind, why }, { underlying: thrown })
  }
  if (result.issues === undefined) return result.value
  const lines = issueLines(result.issues)
  throw fail("PLUGIN_CONFIG_INVALID", { kind: plugin.kind, why: lines.join("; ") })
}

/** Opens a location's bytes as they are, without looking at their format. */
export const openVolume = async (location: StorageLocation, options: OpenOptions): Promise<GuardedVolume> => {
  const plugin = options.plugins.storage(location.kind)
  return openConfigured(plugin, await validateConfig(plugin, location.config), options)
}

/** The same with a config that was validated before. */
export const openConfigured = async (
  plugin: StoragePlugin,
  config: unknown,
  { host, signal, patience = pluginPatience }: Pick<OpenOptions, "host" | "signal" | "patience">,
): Promise<GuardedVolume> => {
  const where = whereOf(plugin.kind, config, host)
  const end = new AbortController()
  const { promise, resolve, reject } = Promise.withResolvers<Volume>()
  const giveUp = (why: Error) => {
    reject(why)
    end.abort()
  }
  const cancelled = () => giveUp(fail("CANCELLED", { what: `opening ${where.path}` }))
  if (signal.aborted) throw fail("CANCELLED", { what: `opening ${where.path}` })
  signal.addEventListener("abort", cancelled, { once: true })
  const timer = patience.ticks(() => giveUp(tooLate(where, patience.openSeconds)), patience.openSeconds * 1000)
  try {
    const opening = Promise.resolve(plugin.open(config, { host, signal: end.signal }))
    opening.then((volume) => (end.signal.aborted ? letGo(volume) : resolve(volume)), reject)
    return await guardOrLetGo(await promise, where, patience)
  } catch (thrown) {
    throw contain(thrown, where)
  } finally {
    timer.stop()
    signal.removeEventListener("abort", cancelled)
  }
}

const tooLate = ({ kind, path }: Where, seconds: number) =>
  fail("IO_ERROR", { what: path, why: `the plugin ${kind} did not open it within ${seconds} seconds` })

/** What is no volume may have a `close` all the same. */
const guardOrLetGo = async (volume: Volume, where: Where, patience: Patience): Promise<GuardedVolume> => {
  try {
    return guardVolume(volume, where, patience)
  } catch (thrown) {
    await letGo(volume)
    throw thrown
  }
}

/** Opens a location as a folder of writable volumes. @throws NOT_SUPPORTED when its plugin has none */
export const openFolder = async (location: StorageLocation, options: OpenOptions): Promise<VolumeFolder> => {
  const plugin = options.plugins.storage(location.kind)
  const config = await validateConfig(plugin, location.config)
  if (plugin.folder === undefined)
    throw fail("NOT_SUPPORTED", { what: `the storage plugin ${plugin.kind} cannot hold what clients write` })
  const where = whereOf(plugin.kind, config, options.host)
  try {
    return guardFolder(plugin.folder(config, { host: options.host, signal: options.signal }), where)
  } catch (thrown) {
    throw contain(thrown, where)
  }
}
