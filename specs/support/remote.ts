/** Opens remote volumes as the server does, and reads them. */
import type { Host } from "../../core/host.ts"
import { openVolume } from "../../core/storage/open-volume.ts"
import type { StoragePlugin } from "../../core/storage/plugin.ts"
import { PluginRegistry } from "../../core/storage/registry.ts"
import remote from "../../plugins/remote/index.ts"

export interface OpenRemoteOptions {
  readonly plugin?: unknown
  readonly host?: Host
  readonly signal?: AbortSignal
}

/** Through the schema and the guard. */
export const openRemoteVolume = (config: Readonly<Record<string, unknown>>, options: OpenRemoteOptions = {}) => {
  const plugin = (options.plugin ?? remote) as StoragePlugin
  const plugins = new PluginRegistry().add(plugin, "plugins/remote")
  const { host = {}, signal = new AbortController().signal } = options
  return openVolume({ kind: "remote", config }, { plugins, host, signal })
}

interface Readable {
  read(into: Uint8Array, at: number, offset: number, length: number, signal?: AbortSignal): Promise<void>
}

export const bytesAt = async (volume: Readable, offset: number, length: number): Promise<Buffer> => {
  const into = Buffer.alloc(length)
  await volume.read(into, 0, offset, length)
  return into
}

/** What a failing promise says, as an operator reads it: `CODE: message: cause`. */
export const refusalOf = (asked: Promise<unknown>): Promise<string> =>
  asked.then(
    () => "no refusal",
    (error: { code: string; message: string; reason: string }) => `${error.code}: ${error.message}: ${error.reason}`,
  )
