/** `imagelink serve`: opens the store, listens, and serves until it is told to stop. */
import { existsSync } from "node:fs"
import { type ConfigFile, decodeConfig, effectiveConfig } from "../../../core/runtime/config.ts"
import { configFileIn, readConfigFile } from "../config-file.ts"
import type { CommonOptions } from "../options.ts"
import { print, printJson } from "../output.ts"
import { dataDir } from "../site.ts"

interface ServeOptions extends CommonOptions {
  readonly config?: string
  readonly address?: string
  readonly nbdPort?: string
  readonly tftpPort?: string
  readonly iscsiPort?: string
  readonly iscsiSecrets?: string
  readonly bootFiles?: string
  readonly cache?: string
  readonly ram?: string
  readonly logLevel?: string
}

const portOf = (text: string): number | string => (/^\d+$/.test(text) ? Number(text) : text)

/** Flags, under the names that the file uses. */
const fromFlags = (o: ServeOptions): ConfigFile =>
  decodeConfig("the command line", {
    ...(o.address === undefined ? {} : { address: o.address }),
    ...(o.nbdPort === undefined ? {} : { "nbd-port": portOf(o.nbdPort) }),
    ...(o.tftpPort === undefined ? {} : { "tftp-port": portOf(o.tftpPort) }),
    ...(o.iscsiPort === undefined ? {} : { "iscsi-port": portOf(o.iscsiPort) }),
    ...(o.iscsiSecrets === undefined ? {} : { "iscsi-secrets": o.iscsiSecrets }),
    ...(o.bootFiles === undefined ? {} : { "boot-files": o.bootFiles }),
    ...(o.cache === undefined ? {} : { cache: o.cache }),
    ...(o.ram === undefined ? {} : { ram: o.ram }),
    ...(o.logLevel === undefined ? {} : { "log-level": o.logLevel }),
  })

const fromEnvironment = (env: NodeJS.ProcessEnv): ConfigFile =>
  decodeConfig("the environment (IMAGELINK_*)", {
    ...(env.IMAGELINK_ADDRESS === undefined ? {} : { address: env.IMAGELINK_ADDRESS }),
    ...(env.IMAGELINK_NBD_PORT === undefined ? {} : { "nbd-port": portOf(env.IMAGELINK_NBD_PORT) }),
    ...(env.IMAGELINK_TFTP_PORT === undefined ? {} : { "tftp-port": portOf(env.IMAGELINK_TFTP_PORT) }),
    ...(env.IMAGELINK_ISCSI_PORT === undefined ? {} : { "iscsi-port": portOf(env.IMAGELINK_ISCSI_PORT) }),
    ...(env.IMAGELINK_ISCSI_SECRETS === undefined ? {} : { "iscsi-secrets": env.IMAGELINK_ISCSI_SECRETS }),
    ...(env.IMAGELINK_BOOT_FILES === undefined ? {} : { "boot-files": env.IMAGELINK_BOOT_FILES }),
    ...(env.IMAGELINK_CACHE === undefined ? {} : { cache: env.IMAGELINK_CACHE }),
    ...(env.IMAGELINK_RAM === undefined ? {} : { ram: env.IMAGELINK_RAM }),
    ...(env.IMAGELINK_LOG_LEVEL === undefined ? {} : { "log-level": env.IMAGELINK_LOG_LEVEL }),
  })

export const serve = async (options: ServeOptions): Promise<void> => {
  const dir = dataDir(options)
  const file = options.config ?? configFileIn(dir)
  const named = options.config !== undefined
  const settings = [
    ...(named || existsSync(file) ? [{ from: file, settings: await readConfigFile(file) }] : []),
    { from: "the environment", settings: fromEnvironment(process.env) },
    { from: "the command line", settings: fromFlags(options) },
  ]
  const config = effectiveConfig(settings)
  const shownLevels = { error: ["error"], info: ["error", "info"], debug: ["error", "info", "debug"] }[config.logLevel]
  const onEvent = (event: { readonly level: string; readonly text: string }) => {
    if (shownLevels.includes(event.level)) process.stderr.write(`${new Date().toISOString()} ${event.text}\n`)
  }
  const { startServer } = await import("../../compose-server.ts")
  const stopped = stopSignal()
  const server = await startServer({ dataDir: dir, config, onEvent })
  onEvent({ level: "debug", text: `effective configuration: ${JSON.stringify(config)}` })
  if (options.json) printJson({ ready: true, listeners: server.listeners })
  else for (const [protocol, at] of Object.entries(server.listeners)) print(`${protocol.padEnd(8)} ${at}`)
  await stopped
  await server.close()
}

/** The first SIGINT or SIGTERM asks, even while the server is still starting; a second one ends the process at once. */
const stopSignal = (): Promise<void> =>
  new Promise((resolve) => {
    let asked = false
    const stop = () => {
      if (asked) process.exit(1)
      asked = true
      resolve()
    }
    process.on("SIGINT", stop)
    process.on("SIGTERM", stop)
  })
